sync "half" {
  side "ticket" { # Missing required argument: connection and collection
  }
  field "x" # Invalid block definition: the body is missing
}
