locals {
  a = local.b # Locals in a circle
  b = local.a
}
translation "t" {
  columns = ["a", "a"] # Two columns needed
  rows    = [["x"], null, 5] # Not a pair
}
translation "u" {
  columns = ["a", "b"]
  lookup {
    connection = connection.nobody # Unknown connection
    a          = null # Text expected
  }
}
sync "one" {
  after    = [sync.two] # Syncs in a circle
  schedule = "TZ=" # Not a schedule
  timezone = "" # Unknown time zone
  side "left" {
    connection = connection.nobody # Unknown connection
    collection = null # Text expected
    where      = "right.x" # Wrong side
  }
  side "right" {
    connection = "x" # Not a connection
    collection = "${var.none}" # Unsupported attribute
    create     = "perhaps" # Yes or no expected
  }
  match {
    left  = ""
    right = ["a"]
  }
  field "f" {
    left     = ["a", "a"]
    right    = []
    via      = translation.t
    conflict = "highest"
    order    = {}
  }
  on_gone "left" {
    then = "update"
    set  = [1]
  }
  limits {
    deletes = "-1%"
  }
}
sync "two" {
  after = [sync.one]
}
test "t" {
  sync   = sync.one
  base   = 5
  now    = { left = "gone", right = { x = [1, { y = null }] } }
  expect = { conflict = "f", left = null }
}
