connection "sql" "d" {
  driver = null
  dsn    = 1e999999999
}
function "f" {
  params = ["f", "f"]
  result = "f(f)"
}
sync "s" {
  side "a" {
    connection = connection.d
    collection = "t"
    where      = <<-EOT
      a.x == "\u00e9" and
        b.y
    EOT
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
