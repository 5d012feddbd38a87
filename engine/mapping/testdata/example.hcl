fieldsync {
  state  = "fieldsync.db"                  # a file (SQLite), or a PostgreSQL URL from env("DATABASE_URL")
  listen = "127.0.0.1:8440"
}

connection "servicenow" "prod" {
  url = "https://acme.service-now.com"     # or the whole table address, as operators paste it
  auth "basic" {                           # or "api_key", or "oauth"
    username = env("SNOW_USER")
    password = env("SNOW_PASSWORD")
  }
  limits {
    rate        = "20/s"
    concurrency = 8
  }
}

connection "sql" "helpdesk" {
  driver = "sqlite"
  dsn    = env("HELPDESK_DSN")
  collection "tickets" {
    table    = "tickets"
    key      = "id"
    modified = "updated_at"
  }
}

translation "state" {                      # one row per meaning; used forwards and backwards
  columns = ["ticket", "incident"]
  rows = [
    ["new",      "1"],
    ["open",     "2"],
    ["waiting",  "3"],
    ["resolved", "6"],
    ["closed",   "7"],
  ]
}

translation "people" {                     # the same idea over a live table, batched and cached
  columns   = ["ticket", "incident"]
  unmatched = "hold"                       # or "empty", or a value
  lookup {
    connection = connection.prod
    collection = "sys_user"
    ticket     = "email"
    incident   = "sys_id"
    refresh    = "1h"
  }
}

sync "ticket_to_incident" {
  schedule  = "*/2 * * * *"                # five-field cron, @every, or none
  timezone  = "Europe/Brussels"
  full_scan = "0 3 * * *"
  conflict  = "ask"                        # default policy of its fields
  first     = "ticket"                     # who leads on first contact

  side "ticket" {
    connection = connection.helpdesk
    collection = "tickets"
    where      = "ticket.queue == 'noc'"   # scope, in expr
  }
  side "incident" {
    connection = connection.prod
    collection = "incident"
    query      = "category=network"        # scope, in the system's own language
    create     = true                      # new tickets become incidents; the default is false
  }

  match {                                  # the marker: written on create, looked up before any retry
    ticket   = "id"
    incident = "correlation_id"
  }

  field "summary" {                        # two-way copy
    ticket   = "title"
    incident = "short_description"
    conflict = "newest"
  }
  field "state" {                          # two-way through a translation
    ticket   = "status"
    incident = "state"
    via      = translation.state
    conflict = "highest"
    order    = ["new", "open", "waiting", "resolved", "closed"]
  }
  field "urgency" {                        # one-way, computed, two paths at once
    flow        = "ticket -> incident"
    incident    = ["impact", "urgency"]
    to_incident = "ticket.priority <= 2 ? ['1', '1'] : ['2', '3']"
  }
  field "number" {
    flow     = "ticket <- incident"
    ticket   = "incident_number"
    incident = "number"
  }
  field "closing" {                        # fields that must travel together with a state
    flow        = "ticket -> incident"
    incident    = ["close_code", "close_notes"]
    when        = "ticket.status in ['resolved', 'closed']"
    to_incident = "['Solution provided', ticket.resolution ?? 'Resolved']"
  }

  comments {
    ticket   = "comments"
    incident = "work_notes"
    flow     = "ticket <-> incident"
    format   = "'[' + author + ' ' + time + '] ' + text"
  }
  attachments {
    flow     = "ticket -> incident"
    max_size = "10MiB"
  }

  on_gone "ticket" {                       # what its twin becomes: detach (default), update, delete, recreate
    then = "update"
    set  = { state = "8" }
  }
  limits {
    creates = 200
    updates = 1000
    deletes = "1%"
  }
}

sync "incident_to_property" {
  after = [sync.ticket_to_incident]
  side "incident" {
    connection = connection.prod
    collection = "incident"
  }
  side "alarm" {
    connection = connection.noc
    collection = "alarm_properties"
  }
  match {
    incident = "correlation_id"
    alarm    = "Ticket ID"
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
}

test "a resolved incident resolves its ticket" {   # runs offline, against the real reconcile core
  sync   = sync.ticket_to_incident
  base   = { ticket = { id = "T-1", status = "open" }, incident = { state = "2" } }
  now    = { incident = { state = "6" } }
  expect = { ticket = { status = "resolved" } }
}
