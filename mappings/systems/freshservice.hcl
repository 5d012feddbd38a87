# Freshservice tickets. Tested against recorded shapes from the public documentation of its API v2, not against a live
# system.
#
# The key is that of an agent with the role SD Agent in the groups that are synced (deleting needs the right to delete
# tickets); it stands under Profile settings.
#
#   connection "rest" "freshservice" {
#     system   = "freshservice"
#     url      = "https://acme.freshservice.com"
#     settings = { requester = "noc@acme.example" }
#     auth "basic" { key = env("FRESHSERVICE_KEY") }
#     limits { rate = "100/m" }
#   }
#
# The marker of new tickets is custom_fields.sync_id: an administrator adds a ticket field of one line of text with the
# name sync_id. Searches lag some seconds behind. Other custom fields are paths by name: "custom_fields.site".
# Files are those of the ticket itself, not those of its conversations.

setting "requester" {
  description = "e-mail address of the requester of new tickets"
  default     = ""
}

auth "basic" {
  password = "X"
}

collection "tickets" {
  key      = "item.id"
  label    = "item.subject"
  modified = "item.updated_at"
  version  = "toJSON([item.updated_at, item.subject, item.status, item.priority, item.responder_id, item.custom_fields])"
  where    = "item.deleted != true && item.spam != true"
  settle   = "1m"

  # Without a time only the tickets of the last thirty days are listed.
  list {
    path = "/api/v2/tickets"
    query = {
      updated_since = "2000-01-01T00:00:00Z"
      order_type    = "desc"
    }
    items = "body.tickets"
    page "number" {}
  }
  changes {
    query = { updated_since = "{since}" }
    time  = "2006-01-02T15:04:05Z"
  }
  search {
    path = "/api/v2/tickets/filter"
    query = {
      updated_since = ""
      order_type    = ""
    }
    page "number" {
      limit = ""
      total = "body.total"
    }
  }
  read {
    path = "/api/v2/tickets/{key}"
    item = "body.ticket"
  }
  create {
    path = "/api/v2/tickets"
    set = {
      email    = setting.requester
      status   = 2
      priority = 1
      source   = 2
    }
    item = "body.ticket"
  }
  update {
    path = "/api/v2/tickets/{key}"
    item = "body.ticket"
  }
  delete {
    path = "/api/v2/tickets/{key}"
  }

  field "subject" {
    type       = "text"
    max_length = 255
    required   = true
  }
  field "description" {
    type     = "text"
    read     = "item.description_text"
    required = true
  }
  field "status" {
    type = "int"
    choices = {
      "2" = "Open"
      "3" = "Pending"
      "4" = "Resolved"
      "5" = "Closed"
    }
  }
  field "priority" {
    type = "int"
    choices = {
      "1" = "Low"
      "2" = "Medium"
      "3" = "High"
      "4" = "Urgent"
    }
  }
  field "urgency" {
    type = "int"
    choices = {
      "1" = "Low"
      "2" = "Medium"
      "3" = "High"
    }
  }
  field "impact" {
    type = "int"
    choices = {
      "1" = "Low"
      "2" = "Medium"
      "3" = "High"
    }
  }
  field "group_id" {
    type      = "int"
    reference = "groups"
  }
  field "responder_id" {
    type      = "int"
    reference = "agents"
  }
  field "category" {
    type = "text"
  }
  field "custom_fields.sync_id" {
    type  = "text"
    label = "marker"
    find  = { query = "\"sync_id:'{value}'\"" }
  }
  field "due_by" {
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

  comments "replies" {
    label   = "Public notes"
    readers = "public"
    where   = "item.private != true"
    id      = "item.id"
    text    = "item.body_text ?? item.body"
    author  = "item.user_id"
    time    = "item.created_at"
    list {
      path  = "/api/v2/tickets/{key}/conversations"
      items = "body.conversations"
      page "number" {}
    }
    add {
      path = "/api/v2/tickets/{key}/notes"
      text = "body"
      set  = { private = false }
      item = "body.conversation"
    }
  }
  comments "private_notes" {
    label   = "Private notes"
    readers = "staff"
    where   = "item.private == true"
    id      = "item.id"
    text    = "item.body_text ?? item.body"
    author  = "item.user_id"
    time    = "item.created_at"
    list {
      path  = "/api/v2/tickets/{key}/conversations"
      items = "body.conversations"
      page "number" {}
    }
    add {
      path = "/api/v2/tickets/{key}/notes"
      text = "body"
      set  = { private = true }
      item = "body.conversation"
    }
  }
  attachments "attachments" {
    label   = "Files"
    readers = "public"
    id      = "item.id"
    name    = "item.name"
    type    = "item.content_type"
    size    = "item.size"
    time    = "item.created_at"
    list {
      path  = "/api/v2/tickets/{key}"
      items = "body.ticket.attachments ?? []"
    }
    open {
      link      = "item.attachment_url"
      elsewhere = true
    }
    add {
      method = "PUT"
      path   = "/api/v2/tickets/{key}"
      body   = "multipart"
      part   = "attachments[]"
    }
  }
}
