# One row per meaning; read forwards and backwards.
translation "state" {
  columns = ["ticket", "incident"]
  rows = [
    ["new", "1"],
    ["open", "2"],
    ["waiting", "3"],
    ["resolved", "6"],
    ["closed", "7"],
    ["cancelled", "8"],
  ]
}

# What an operator reads in the alarm list.
translation "state_label" {
  columns = ["incident", "alarm"]
  rows = [
    ["1", "New"],
    ["2", "In Progress"],
    ["3", "On Hold"],
    ["6", "Resolved"],
    ["7", "Closed"],
    ["8", "Canceled"],
  ]
}

# People: e-mail addresses on one side, user records on the other, looked up when needed.
translation "people" {
  columns   = ["ticket", "incident"]
  unmatched = "hold"
  lookup {
    connection = connection.prod
    collection = "sys_user"
    ticket     = "email"
    incident   = "sys_id"
    refresh    = "1h"
  }
}
