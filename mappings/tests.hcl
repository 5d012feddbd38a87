# Run them with: fieldsync test

test "a resolved incident resolves its ticket" {
  sync   = sync.ticket_to_incident
  base   = { ticket = { id = "T-1", status = "open" }, incident = { state = "2" } }
  now    = { incident = { state = "6" } }
  expect = { ticket = { status = "resolved" } }
}

test "a resolved ticket resolves its incident and brings the closing fields along" {
  sync   = sync.ticket_to_incident
  base   = { ticket = { id = "T-1", status = "open" }, incident = { state = "2" } }
  now    = { ticket = { status = "resolved", resolution = "Replaced the SFP" } }
  expect = { incident = { state = "6", close_code = "Solution provided", close_notes = "Replaced the SFP" } }
}

test "the further state wins when both sides moved" {
  sync   = sync.ticket_to_incident
  base   = { ticket = { id = "T-1", status = "new" }, incident = { state = "1" } }
  now    = { ticket = { status = "open" }, incident = { state = "3" } }
  expect = { ticket = { status = "waiting" } }
}

test "a priority becomes the impact and urgency that give it" {
  sync   = sync.ticket_to_incident
  base   = { ticket = { id = "T-1", priority = 4 }, incident = { impact = "2", urgency = "3" } }
  now    = { ticket = { priority = 1 } }
  expect = { incident = { impact = "1", urgency = "1" } }
}

test "another pair with the same priority moves nothing" {
  sync = sync.ticket_to_incident
  base = { ticket = { id = "T-1", priority = 3 }, incident = { impact = "2", urgency = "2" } }
  now  = { incident = { impact = "1", urgency = "3" } }
}

test "an edit of the incident number is put back" {
  sync   = sync.ticket_to_incident
  base   = { ticket = { id = "T-1", incident_number = "INC0010001" }, incident = { number = "INC0010001" } }
  now    = { ticket = { incident_number = "INC9" } }
  expect = { ticket = { incident_number = "INC0010001" } }
}

test "an alarm shows state, number and ticket" {
  sync   = sync.incident_to_property
  now    = { incident = { correlation_display = "1/2/3", correlation_id = "T-1", number = "INC0010001", state = "2" }, alarm = { id = "1/2/3" } }
  expect = { alarm = { "Incident Status" = "In Progress", "Incident Number" = "INC0010001", "Ticket ID" = "T-1" } }
}
