# Tickets of the NOC queue become incidents; afterwards both are kept in step, field by field.
sync "ticket_to_incident" {
  schedule  = "*/2 * * * *"
  timezone  = "Europe/Brussels"
  full_scan = "0 3 * * *" # every record once a night: finds what was deleted
  conflict  = "ask"       # when both sides changed a field and the field does not say otherwise
  first     = "ticket"    # who leads when two records meet for the first time

  side "ticket" {
    connection = connection.helpdesk
    collection = "tickets"
    where      = "ticket.queue == 'noc'"
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
    create     = true # new tickets become incidents
  }

  # The marker: written on create, looked up before any retry, so that nothing is made twice.
  match {
    ticket   = "id"
    incident = "correlation_id"
  }

  field "summary" {
    ticket   = "title"
    incident = "short_description"
    conflict = "newest"
  }
  field "description" {
    ticket   = "description"
    incident = "description"
    conflict = "merge"
  }
  field "state" {
    ticket   = "status"
    incident = "state"
    via      = translation.state
    conflict = "highest"
    order    = ["new", "open", "waiting", "resolved", "closed", "cancelled"]
  }
  # ServiceNow computes priority from impact and urgency; these are the pairs that give 1 to 5.
  field "priority" {
    ticket      = "priority"
    incident    = ["impact", "urgency"]
    to_incident = "[['1', '1'], ['1', '2'], ['2', '2'], ['2', '3'], ['3', '3']][ticket.priority - 1]"
    to_ticket   = "int(incident.impact) + int(incident.urgency) - 1"
  }
  field "assignee" {
    ticket   = "assignee"
    incident = "assigned_to"
    via      = translation.people
    conflict = "incident"
  }
  # ServiceNow refuses to resolve without these two; they travel in the same write as the state.
  field "closing" {
    flow        = "ticket -> incident"
    incident    = ["close_code", "close_notes"]
    when        = "ticket.status in ['resolved', 'closed']"
    to_incident = "['Solution provided', ticket.resolution ?? 'Resolved']"
  }
  field "alarm" {
    flow     = "ticket -> incident"
    ticket   = "alarm"
    incident = "correlation_display"
  }
  field "number" {
    flow     = "ticket <- incident"
    ticket   = "incident_number"
    incident = "number"
  }

  on_gone "ticket" {
    then = "update"
    set  = { state = "8" }
  }
  limits {
    creates = 200
    updates = 1000
    deletes = "1%"
  }
}
