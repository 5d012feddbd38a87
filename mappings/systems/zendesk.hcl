# Zendesk Support tickets. Tested against recorded shapes from the public documentation of the Ticketing API, not against
# a live system.
#
# The user is an agent who sees all tickets that are synced; the export of changes needs an administrator, and deleting
# the right to delete tickets. The token is made under Apps and integrations, APIs, Zendesk API.
#
#   connection "rest" "zendesk" {
#     system = "zendesk"
#     url    = "https://acme.zendesk.com"
#     auth "basic" {
#       username = "svc.fieldsync@acme.example/token"
#       password = env("ZENDESK_TOKEN")
#     }
#     limits { rate = "400/m" }
#   }
#
# The marker of new tickets is external_id. The export of changes leaves the last minute out, so an edit is seen a minute
# later. Ticket fields of the account are paths by number: "custom_fields.360001234567". A closed ticket takes no changes.
# Files hang on comments there: one that is carried comes with a comment that says so and is no comment here.

auth "basic" {}
auth "bearer" {}

# Who is not logged in is shown as an anonymous user without a number.
login {
  path = "/api/v2/users/me.json"
  user = "body.user.id == nil ? '' : body.user.email"
}

error {
  message = "body.details == nil ? (body.description ?? body.error) : [body.description, body.details]"
}

collection "tickets" {
  key      = "item.id"
  label    = "item.subject"
  modified = "item.updated_at"
  version  = "toJSON([item.updated_at, item.subject, item.status, item.priority, item.assignee_id, item.tags, item.custom_fields])"
  where    = "item.status != 'deleted'"

  list {
    path  = "/api/v2/tickets.json"
    query = { sort = "-updated_at" }
    items = "body.tickets"
    page "cursor" {
      param = "page[after]"
      limit = "page[size]"
      next  = "body.meta.after_cursor"
      more  = "body.meta.has_more == true"
    }
  }
  changes {
    path = "/api/v2/incremental/tickets/cursor.json"
    query = {
      sort       = ""
      start_time = "{since}"
    }
    time    = "unix"
    overlap = "3m"
    page "link" {
      next = "body.after_url"
      more = "body.end_of_stream != true"
    }
  }
  read {
    path = "/api/v2/tickets/{key}.json"
    item = "body.ticket"
  }
  read_many {
    path  = "/api/v2/tickets/show_many.json"
    query = { ids = "{keys}" }
    items = "body.tickets"
    max   = 100
  }
  create {
    path = "/api/v2/tickets.json"
    wrap = "ticket"
    item = "body.ticket"
  }
  update {
    path = "/api/v2/tickets/{key}.json"
    wrap = "ticket"
    item = "body.ticket"
  }
  delete {
    path = "/api/v2/tickets/{key}.json"
  }

  field "subject" {
    type = "text"
  }
  field "description" {
    type        = "text"
    write       = "comment.body"
    create_only = true
    required    = true
  }
  field "external_id" {
    type  = "text"
    label = "marker"
    find  = { external_id = "{value}" }
  }
  field "status" {
    type    = "text"
    choices = ["new", "open", "pending", "hold", "solved", "closed"]
  }
  field "priority" {
    type    = "text"
    choices = ["low", "normal", "high", "urgent"]
  }
  field "type" {
    type    = "text"
    choices = ["problem", "incident", "question", "task"]
  }
  field "assignee_id" {
    type      = "int"
    reference = "users"
  }
  field "group_id" {
    type      = "int"
    reference = "groups"
  }
  field "requester_id" {
    type      = "int"
    reference = "users"
  }
  field "tags" {
    type  = "list"
    clear = []
  }
  field "due_at" {
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
  named "custom_fields" {
    name  = "id"
    value = "value"
  }

  comments "comments" {
    label   = "Public comments"
    readers = "public"
    where   = "item.public == true && not ((item.body ?? '') startsWith 'Attached by fieldsync: ')"
    id      = "item.id"
    text    = "item.plain_body ?? item.body"
    author  = "item.author_id"
    time    = "item.created_at"
    list {
      path  = "/api/v2/tickets/{key}/comments.json"
      items = "body.comments"
      page "cursor" {
        param = "page[after]"
        limit = "page[size]"
        next  = "body.meta.after_cursor"
        more  = "body.meta.has_more == true"
      }
    }
    add {
      method = "PUT"
      path   = "/api/v2/tickets/{key}.json"
      wrap   = "ticket.comment"
      text   = "body"
      set    = { public = true }
    }
  }
  comments "internal_notes" {
    label   = "Internal notes"
    readers = "staff"
    where   = "item.public == false && not ((item.body ?? '') startsWith 'Attached by fieldsync: ')"
    id      = "item.id"
    text    = "item.plain_body ?? item.body"
    author  = "item.author_id"
    time    = "item.created_at"
    list {
      path  = "/api/v2/tickets/{key}/comments.json"
      items = "body.comments"
      page "cursor" {
        param = "page[after]"
        limit = "page[size]"
        next  = "body.meta.after_cursor"
        more  = "body.meta.has_more == true"
      }
    }
    add {
      method = "PUT"
      path   = "/api/v2/tickets/{key}.json"
      wrap   = "ticket.comment"
      text   = "body"
      set    = { public = false }
    }
  }
  attachments "attachments" {
    label   = "Files that customers see"
    readers = "public"
    where   = "item.public == true"
    id      = "item.id"
    name    = "item.name"
    type    = "item.type"
    size    = "item.size"
    author  = "item.author"
    time    = "item.time"
    list {
      path  = "/api/v2/tickets/{key}/comments.json"
      items = "flatten(map(body.comments, let c = #; map(c.attachments ?? [], ({'id': #.id, 'name': #.file_name, 'type': #.content_type, 'size': #.size, 'url': #.content_url, 'public': c.public, 'author': c.author_id, 'time': c.created_at}))))"
      page "cursor" {
        param = "page[after]"
        limit = "page[size]"
        next  = "body.meta.after_cursor"
        more  = "body.meta.has_more == true"
      }
    }
    open {
      link      = "item.url"
      elsewhere = true
    }
    upload {
      path  = "/api/v2/uploads.json"
      query = { filename = "{name}" }
      body  = "raw"
      token = "body.upload.token"
    }
    add {
      method = "PUT"
      path   = "/api/v2/tickets/{key}.json"
      wrap   = "ticket.comment"
      set = {
        body    = "Attached by fieldsync: {name}"
        uploads = ["{token}"]
        public  = true
      }
    }
  }
  attachments "internal_attachments" {
    label   = "Files for staff"
    readers = "staff"
    where   = "item.public == false"
    id      = "item.id"
    name    = "item.name"
    type    = "item.type"
    size    = "item.size"
    author  = "item.author"
    time    = "item.time"
    list {
      path  = "/api/v2/tickets/{key}/comments.json"
      items = "flatten(map(body.comments, let c = #; map(c.attachments ?? [], ({'id': #.id, 'name': #.file_name, 'type': #.content_type, 'size': #.size, 'url': #.content_url, 'public': c.public, 'author': c.author_id, 'time': c.created_at}))))"
      page "cursor" {
        param = "page[after]"
        limit = "page[size]"
        next  = "body.meta.after_cursor"
        more  = "body.meta.has_more == true"
      }
    }
    open {
      link      = "item.url"
      elsewhere = true
    }
    upload {
      path  = "/api/v2/uploads.json"
      query = { filename = "{name}" }
      body  = "raw"
      token = "body.upload.token"
    }
    add {
      method = "PUT"
      path   = "/api/v2/tickets/{key}.json"
      wrap   = "ticket.comment"
      set = {
        body    = "Attached by fieldsync: {name}"
        uploads = ["{token}"]
        public  = false
      }
    }
  }
}
