connection "sql" "d" {
  driver = null # error: Unsuitable value type
  dsn    = "x"
}
function "f" {
  params = ["f", "f"]
  result = "f(f)" # error: Invalid parameter
}
sync "s" {
  side "a" {
    connection = connection.d
    collection = "t"
    where      = "a.x == '\u00e9' and b.y == 1" # error: Wrong side
  }
  side "b" {
    connection = connection.d
    collection = "t"
  }
  match {
    a = "x"
    b = "y"
  }
  field "one" {
    flow = "a -> b"
    b    = ["p", "q"]
    to_b = "a['x'] + f(a)"
    when = "run.time > a.t"
  }
  field "two" {
    a       = "v"
    b       = "w"
    resolve = "let x = a; x.v"
  }
}
