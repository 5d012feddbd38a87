# Request Tracker 5, through REST 2.0. Tested against a live Request Tracker 5.0.
#
# In RT: a privileged user for fieldsync alone, in the time zone UTC (searches read times in the zone of the user), with
# the rights ShowTicket, ShowTicketComments, CreateTicket, ModifyTicket, OwnTicket, CommentOnTicket, ReplyToTicket,
# SeeCustomField and ModifyCustomField on the queue (DeleteTicket, where rules delete), and an authentication token:
#
#   connection "rest" "rt" {
#     system   = "rt"
#     url      = "https://rt.example.com"
#     settings = { queue = "Network" }
#     auth "header" { key = env("RT_TOKEN") }
#   }
#
# A side's query is TicketSQL: query = "Status = '__Active__'". Custom fields are paths like "CustomFields.Severity"; one
# of the kind "Enter one value" is good as the marker of new tickets. RT takes what it can of a write and says in words
# what it did not take; the run shows what was stored. A deleted ticket is not found by any search, so it counts as
# gone. The text with which a ticket began is no field of it; what is written later are comments and correspondence.
# A file is carried as a comment without text, and never an empty one; files of text come back in UTF-8.

setting "queue" {
  description = "name of the queue"
}

auth "header" {
  name   = "Authorization"
  prefix = "token "
}

login {
  path = "/REST/2.0/rt"
}

error {
  message = "body.message"
}

collection "tickets" {
  key      = "item.id"
  label    = "item.Subject"
  modified = "item.LastUpdated"
  author   = "item.LastUpdatedBy.id"
  closed   = true

  list {
    path = "/REST/2.0/tickets"
    query = {
      query   = "Queue = '${setting.queue}' AND ({query})"
      fields  = "Subject,Status,Owner,Priority,Due,Starts,Started,Resolved,TimeWorked,Requestor,Creator,Created,LastUpdated,LastUpdatedBy,CustomFields"
      orderby = "LastUpdated"
      order   = "DESC"
    }
    all   = "id > 0"
    items = "body.items"
    page "link" { next = "body.next_page" }
  }
  changes {
    query = { query = "Queue = '${setting.queue}' AND LastUpdated >= '{since}' AND ({query})" }
    time  = "2006-01-02 15:04:05"
  }
  read {
    path = "/REST/2.0/ticket/{key}"
  }
  read_many {
    path = "/REST/2.0/tickets"
    query = {
      query    = "{keys}"
      fields   = "Subject,Status,Owner,Priority,Due,Starts,Started,Resolved,TimeWorked,Requestor,Creator,Created,LastUpdated,LastUpdatedBy,CustomFields"
      per_page = 100
    }
    each      = "id = {quoted}"
    separator = " OR "
    items     = "body.items"
    max       = 100
  }
  create {
    path = "/REST/2.0/ticket"
    set  = { Queue = setting.queue }
    key  = "body.id"
  }
  update {
    path = "/REST/2.0/ticket/{key}"
    etag = true
  }
  delete {
    path = "/REST/2.0/ticket/{key}"
    etag = true
  }

  field "Subject" {
    type       = "text"
    max_length = 200
  }
  # A ticket cannot begin in every status: not as stalled.
  field "Status" {
    type        = "text"
    update_only = true
  }
  field "Owner" {
    type  = "text"
    read  = "item.Owner.id == 'Nobody' ? nil : item.Owner.id"
    clear = "Nobody"
  }
  field "Priority" {
    type = "int"
  }
  field "Due" {
    type   = "time"
    read   = "item.Due == '1970-01-01T00:00:00Z' ? nil : item.Due"
    layout = "2006-01-02 15:04:05"
  }
  field "Starts" {
    type   = "time"
    read   = "item.Starts == '1970-01-01T00:00:00Z' ? nil : item.Starts"
    layout = "2006-01-02 15:04:05"
  }
  field "Started" {
    type   = "time"
    read   = "item.Started == '1970-01-01T00:00:00Z' ? nil : item.Started"
    layout = "2006-01-02 15:04:05"
  }
  field "Resolved" {
    type      = "time"
    read      = "item.Resolved == '1970-01-01T00:00:00Z' ? nil : item.Resolved"
    read_only = true
  }
  field "Requestor" {
    type = "list"
    read = "map(item.Requestor, .id)"
  }
  field "TimeWorked" {
    type = "int"
  }
  field "Creator" {
    type      = "text"
    read      = "item.Creator.id"
    read_only = true
  }
  field "Created" {
    type      = "time"
    read_only = true
  }
  field "LastUpdated" {
    type      = "time"
    read_only = true
  }
  named "CustomFields" {
    name   = "name"
    value  = "values"
    single = true
    write  = "object"
    clear  = ""
    find   = { query = "Queue = '${setting.queue}' AND 'CF.{{name}}' = {quoted}" }
  }

  comments "comments" {
    label   = "Comments"
    readers = "staff"
    where   = "item.Type == 'Comment'"
    id      = "item.id"
    author  = "item.Creator.id"
    time    = "item.Created"
    text    = "first(map(filter(detail.items ?? [], .ContentType == 'text/plain'), .Content)) ?? ''"
    list {
      path  = "/REST/2.0/ticket/{key}/history"
      query = { fields = "Type,Creator,Created" }
      items = "body.items"
      page "number" {}
    }
    read {
      path  = "/REST/2.0/transaction/{key}/attachments"
      query = { fields = "Content,ContentType" }
    }
    add {
      path = "/REST/2.0/ticket/{key}/comment"
      text = "Content"
      set  = { ContentType = "text/plain" }
    }
  }
  comments "correspondence" {
    label   = "Correspondence"
    readers = "public"
    where   = "item.Type == 'Correspond'"
    id      = "item.id"
    author  = "item.Creator.id"
    time    = "item.Created"
    text    = "first(map(filter(detail.items ?? [], .ContentType == 'text/plain'), .Content)) ?? ''"
    list {
      path  = "/REST/2.0/ticket/{key}/history"
      query = { fields = "Type,Creator,Created" }
      items = "body.items"
      page "number" {}
    }
    read {
      path  = "/REST/2.0/transaction/{key}/attachments"
      query = { fields = "Content,ContentType" }
    }
    add {
      path = "/REST/2.0/ticket/{key}/correspond"
      text = "Content"
      set  = { ContentType = "text/plain" }
    }
  }

  # What has a name of its own is a file; other parts of a message are its text.
  attachments "attachments" {
    label  = "Files"
    where  = "(item.Filename ?? '') != ''"
    id     = "item.id"
    name   = "item.Filename"
    type   = "item.ContentType"
    author = "item.Creator.id"
    time   = "item.Created"
    list {
      path  = "/REST/2.0/ticket/{key}/attachments"
      query = { fields = "Filename,ContentType,Creator,Created" }
      items = "body.items"
      page "number" {}
    }
    open {
      path = "/REST/2.0/attachment/{id}"
      data = "body.Content"
    }
    # A form, as RT spoils names with other letters than English ones in JSON. An empty file is refused.
    add {
      path = "/REST/2.0/ticket/{key}/comment"
      body = "multipart"
      part = "Attachments"
      set  = { JSON = "{}" }
    }
  }
}
