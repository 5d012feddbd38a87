fieldsync {
  state = 1e99999999 # error: Number out of range
}
sync "unread" {}
