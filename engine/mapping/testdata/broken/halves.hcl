sync "half" {
  side "ticket" {
  }
  field "x" # error: Invalid block definition
}
