# Where the systems are. Addresses and credentials come from the environment, so that this
# folder can be kept under version control as it is.

fieldsync {
  state = "fieldsync.db" # beside this file; created on the first apply, readable by you alone
}

# The ServiceNow instance. A dedicated integration user with the role itil is enough.
connection "servicenow" "prod" {
  url = env("SNOW_URL") # https://acme.service-now.com, or the whole table address as you paste it
  auth "basic" {
    username = env("SNOW_USER")
    password = env("SNOW_PASSWORD")
  }
  limits {
    rate        = "20/s"
    concurrency = 4
  }
}

# The ticketing tool: any SQLite database with a table of tickets.
connection "sql" "helpdesk" {
  driver = "sqlite"
  dsn    = env("HELPDESK_DSN")
  collection "tickets" {
    table    = "tickets"
    key      = "id"
    modified = "updated_at"
  }
}

# The DataMiner system, through the bridge: DataMiner has no method of its own that sets alarm
# properties. A real one wants a token = env(…) beside the url.
connection "dataminer" "noc" {
  bridge {
    url = env("NOC_URL")
  }
}
