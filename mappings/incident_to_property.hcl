# What became of the incident, shown on the alarm that it came from.
sync "incident_to_property" {
  after = [sync.ticket_to_incident]

  side "incident" {
    connection = connection.prod
    collection = "incident"
    query      = "correlation_displayISNOTEMPTY"
  }
  side "alarm" {
    connection = connection.noc
    collection = "alarm_properties"
  }

  match {
    incident = "correlation_display"
    alarm    = "id"
  }

  field "status" {
    flow     = "incident -> alarm"
    incident = "state"
    alarm    = "Incident Status"
    via      = translation.state_label
  }
  field "number" {
    flow     = "incident -> alarm"
    incident = "number"
    alarm    = "Incident Number"
  }
  field "ticket" {
    flow     = "incident -> alarm"
    incident = "correlation_id"
    alarm    = "Ticket ID"
  }
}
