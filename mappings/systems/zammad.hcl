# Zammad tickets. Tested against recorded shapes from the public documentation of its REST API, not against a live
# system. Searches need Elasticsearch, as in any usual installation.
#
# The user is an agent with full access to the groups that are synced; the token (Profile, Token Access) has the
# permission ticket.agent.
#
#   connection "rest" "zammad" {
#     system   = "zammad"
#     url      = "https://zammad.example.com"
#     settings = { group = "Network", customer = "noc@acme.example" }
#     auth "header" { key = env("ZAMMAD_TOKEN") }
#   }
#
# State, priority, owner and group are names. Attributes that an administrator adds to tickets are paths by their names;
# one of them has to be the marker of new tickets, and the connection says so:
#
#   collection "tickets" {
#     field "external_id" {
#       type = "text"
#       find = { query = "external_id:{quoted}" }
#     }
#   }
#
# The search lags some seconds behind. A new ticket begins with an internal note, which Zammad asks for. Files
# hang on articles: one that is carried comes with a note that says so and is no comment here.

setting "group" {
  description = "group of new tickets"
  default     = ""
}
setting "customer" {
  description = "e-mail address of the customer of new tickets"
  default     = ""
}

auth "header" {
  name   = "Authorization"
  prefix = "Token token="
}
auth "bearer" {}

login {
  path = "/api/v1/users/me"
  user = "body.login"
}

error {
  message = "body.error_human ?? body.error"
}

collection "tickets" {
  key      = "item.id"
  label    = "item.number"
  modified = "item.updated_at"
  version  = "item.updated_at"
  settle   = "1m"

  list {
    path  = "/api/v1/tickets"
    query = { expand = "true" }
    items = "body"
    page "number" {}
  }
  changes {
    path = "/api/v1/tickets/search"
    query = {
      query    = "updated_at:[\"{since}\" TO *]"
      sort_by  = "updated_at"
      order_by = "desc"
    }
    time    = "2006-01-02T15:04:05Z"
    overlap = "5m"
  }
  search {
    path = "/api/v1/tickets/search"
  }
  read {
    path  = "/api/v1/tickets/{key}"
    query = { expand = "true" }
  }
  create {
    path = "/api/v1/tickets"
    set = {
      group              = setting.group
      customer           = setting.customer
      "article.body"     = "Made by fieldsync"
      "article.type"     = "note"
      "article.internal" = true
    }
    key = "body.id"
  }
  update {
    path = "/api/v1/tickets/{key}"
  }
  delete {
    path = "/api/v1/tickets/{key}"
  }

  field "title" {
    type       = "text"
    max_length = 250
    required   = true
  }
  field "number" {
    type      = "text"
    read_only = true
  }
  field "state" {
    type = "text"
    options {
      path  = "/api/v1/ticket_states"
      items = "body"
      value = "item.name"
      label = "item.name"
    }
  }
  field "priority" {
    type = "text"
    options {
      path  = "/api/v1/ticket_priorities"
      items = "body"
      value = "item.name"
      label = "item.name"
    }
  }
  # "-" is nobody.
  field "owner" {
    type  = "text"
    read  = "item.owner == '-' ? nil : item.owner"
    clear = "-"
  }
  field "group" {
    type = "text"
  }
  field "customer" {
    type = "text"
  }
  field "pending_time" {
    type = "time"
  }
  field "created_at" {
    type      = "time"
    read_only = true
  }
  field "updated_at" {
    type      = "time"
    read_only = true
  }

  comments "notes" {
    label   = "Articles that the customer sees"
    readers = "public"
    where   = "item.internal != true && not ((item.body ?? '') startsWith 'Attached by fieldsync: ')"
    id      = "item.id"
    text    = "item.body"
    author  = "item.from ?? item.created_by"
    time    = "item.created_at"
    list {
      path  = "/api/v1/ticket_articles/by_ticket/{key}"
      query = { expand = "true" }
      items = "body"
    }
    add {
      path = "/api/v1/ticket_articles"
      text = "body"
      set = {
        ticket_id    = "{key}"
        content_type = "text/plain"
        type         = "note"
        internal     = false
      }
      item = "body"
    }
  }
  comments "internal_notes" {
    label   = "Internal articles"
    readers = "staff"
    where   = "item.internal == true && not ((item.body ?? '') startsWith 'Attached by fieldsync: ')"
    id      = "item.id"
    text    = "item.body"
    author  = "item.from ?? item.created_by"
    time    = "item.created_at"
    list {
      path  = "/api/v1/ticket_articles/by_ticket/{key}"
      query = { expand = "true" }
      items = "body"
    }
    add {
      path = "/api/v1/ticket_articles"
      text = "body"
      set = {
        ticket_id    = "{key}"
        content_type = "text/plain"
        type         = "note"
        internal     = true
      }
      item = "body"
    }
  }
  attachments "attachments" {
    label   = "Files that the customer sees"
    readers = "public"
    where   = "item.internal == false"
    id      = "item.id"
    name    = "item.name"
    type    = "item.type"
    size    = "item.size"
    author  = "item.author"
    time    = "item.time"
    list {
      path  = "/api/v1/ticket_articles/by_ticket/{key}"
      query = { expand = "true" }
      items = "flatten(map(body, let a = #; map(a.attachments ?? [], ({'id': #.id, 'name': #.filename, 'type': #.preferences?.['Content-Type'] ?? #.preferences?.['Mime-Type'], 'size': #.size, 'url': '/api/v1/ticket_attachment/' + string(a.ticket_id) + '/' + string(a.id) + '/' + string(#.id), 'internal': a.internal == true, 'author': a.from ?? a.created_by, 'time': a.created_at}))))"
    }
    open {
      link = "item.url"
    }
    add {
      path = "/api/v1/ticket_articles"
      set = {
        ticket_id    = "{key}"
        body         = "Attached by fieldsync: {name}"
        content_type = "text/plain"
        type         = "note"
        internal     = false
        attachments  = [{ filename = "{name}", data = "{content}", mime-type = "{type}" }]
      }
    }
  }
  attachments "internal_attachments" {
    label   = "Files for staff"
    readers = "staff"
    where   = "item.internal == true"
    id      = "item.id"
    name    = "item.name"
    type    = "item.type"
    size    = "item.size"
    author  = "item.author"
    time    = "item.time"
    list {
      path  = "/api/v1/ticket_articles/by_ticket/{key}"
      query = { expand = "true" }
      items = "flatten(map(body, let a = #; map(a.attachments ?? [], ({'id': #.id, 'name': #.filename, 'type': #.preferences?.['Content-Type'] ?? #.preferences?.['Mime-Type'], 'size': #.size, 'url': '/api/v1/ticket_attachment/' + string(a.ticket_id) + '/' + string(a.id) + '/' + string(#.id), 'internal': a.internal == true, 'author': a.from ?? a.created_by, 'time': a.created_at}))))"
    }
    open {
      link = "item.url"
    }
    add {
      path = "/api/v1/ticket_articles"
      set = {
        ticket_id    = "{key}"
        body         = "Attached by fieldsync: {name}"
        content_type = "text/plain"
        type         = "note"
        internal     = true
        attachments  = [{ filename = "{name}", data = "{content}", mime-type = "{type}" }]
      }
    }
  }
}
