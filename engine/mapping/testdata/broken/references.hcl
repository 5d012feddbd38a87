locals {
  a = local.b
  b = local.a # error: Locals in a circle
}
translation "t" {
  columns = ["a", "a"] # error: Two columns needed
  rows    = [["x"], null, 5]
}
translation "u" {
  columns = ["a", "b"]
  lookup { # error: Missing argument; Missing argument
    connection = connection.nobody # error: Unknown connection
    a          = null # error: Text expected
  }
}
sync "one" {
  after    = [sync.two] # error: Syncs in a circle
  schedule = "TZ=" # error: Not a schedule
  timezone = "" # error: Unknown time zone
  side "left" {
    connection = connection.nobody # error: Unknown connection
    collection = null # error: Text expected
    where      = "right.x" # error: Wrong side
  }
  side "right" {
    connection = "x" # error: Not a connection
    collection = "${var.none}" # error: Unsupported attribute
    create     = "perhaps" # error: Yes or no expected
  }
  match {
    left  = "" # error: Empty path
    right = ["a"] # error: Text expected
  }
  field "f" {
    left     = ["a", "a"] # error: Path named twice
    right    = [] # error: Empty path
    via      = translation.t
    conflict = "highest"
    order    = {}
  }
  on_gone "left" {
    then = "update"
    set  = [1] # error: Paths and values expected
  }
  limits {
    deletes = "-1%" # error: Not a limit
  }
}
sync "two" { # error: A sync has two sides
  after = [sync.one]
}
test "t" {
  sync   = sync.one
  base   = 5 # error: Sides expected
  now    = { left = "gone", right = { x = [1, { y = null }] } }
  expect = { conflict = "f", left = null } # error: Paths and values expected
}
