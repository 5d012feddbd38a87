# Jira Cloud issues of one project, through its REST API v2 (texts are plain text there). Tested against recorded shapes
# from the public documentation, not against a live system.
#
# The user needs Browse projects, Create issues, Edit issues, Transition issues, Add comments, Edit own comments, Create attachments (Delete issues, where rules
# delete) in the project, and the time zone of its profile in the setting time_zone: searches read times in it.
#
#   connection "rest" "jira" {
#     system   = "jira"
#     url      = "https://acme.atlassian.net"
#     settings = { project = "NET", issue_type = "Task", time_zone = "Europe/Brussels" }
#     auth "basic" {
#       username = "svc.fieldsync@acme.example"
#       password = env("JIRA_API_TOKEN")
#     }
#   }
#
# A side's query is JQL without ORDER BY. Custom fields are paths like "fields.customfield_10010". The status is its name, and is
# changed by the transition that leads there from where the issue is; where none does, the write is refused. Searches
# lag some seconds behind, so a new issue is looked for during a minute. The marker of new issues is the path sync_label,
# a label "sync:…" (no spaces), which a rule that writes labels later takes away; a custom text field is better:
#
#   collection "issues" {
#     field "fields.customfield_10010" {
#       type = "text"
#       find = { jql = "project = NET AND cf[10010] ~ {quoted}" }
#     }
#   }

setting "project" {
  description = "key of the project, such as NET"
}
setting "issue_type" {
  description = "name of the type of new issues"
  default     = "Task"
}
setting "time_zone" {
  description = "time zone of the user"
  default     = "UTC"
}

auth "basic" {}
auth "bearer" {}

login {
  path = "/rest/api/2/myself"
  user = "body.displayName"
}

collection "issues" {
  key      = "item.id"
  label    = "item.key"
  modified = "item.fields.updated"
  version  = "item.fields.updated"
  settle   = "1m"

  list {
    path = "/rest/api/2/search/jql"
    query = {
      jql    = "project = \"${setting.project}\" AND ({query}) ORDER BY updated DESC"
      fields = "*all"
    }
    all   = "issuetype is not EMPTY"
    items = "body.issues"
    page "cursor" {
      param = "nextPageToken"
      limit = "maxResults"
      next  = "body.nextPageToken"
      more  = "body.isLast != true"
    }
  }
  changes {
    query   = { jql = "project = \"${setting.project}\" AND updated >= \"{since}\" AND ({query}) ORDER BY updated DESC" }
    time    = "2006/01/02 15:04"
    zone    = setting.time_zone
    overlap = "2m"
  }
  read {
    path  = "/rest/api/2/issue/{key}"
    query = { fields = "*all" }
  }
  create {
    path = "/rest/api/2/issue"
    set = {
      "fields.project.key"    = setting.project
      "fields.issuetype.name" = setting.issue_type
    }
    key = "body.id"
  }
  update {
    path = "/rest/api/2/issue/{key}"
  }
  delete {
    path = "/rest/api/2/issue/{key}"
  }

  field "key" {
    type      = "text"
    read_only = true
  }
  field "summary" {
    type       = "text"
    max_length = 255
    required   = true
    read       = "item.fields.summary"
    write      = "fields.summary"
  }
  field "description" {
    type       = "text"
    max_length = 32767
    read       = "item.fields.description"
    write      = "fields.description"
  }
  field "status" {
    type = "text"
    read = "item.fields.status.name"
    options {
      path  = "/rest/api/2/issue/{key}/transitions"
      items = "body.transitions"
      value = "item.id"
      label = "item.to.name"
    }
    step {
      path = "/rest/api/2/issue/{key}/transitions"
      set  = { "transition.id" = "{value}" }
    }
  }
  field "priority" {
    type  = "text"
    read  = "item.fields.priority.name"
    write = "fields.priority.name"
  }
  field "issue_type" {
    type  = "text"
    read  = "item.fields.issuetype.name"
    write = "fields.issuetype.name"
  }
  field "resolution" {
    type      = "text"
    read      = "item.fields.resolution.name"
    read_only = true
  }
  field "assignee" {
    type      = "text"
    label     = "account id"
    reference = "users"
    read      = "item.fields.assignee.accountId"
    write     = "fields.assignee.accountId"
  }
  field "reporter" {
    type  = "text"
    label = "account id"
    read  = "item.fields.reporter.accountId"
    write = "fields.reporter.accountId"
  }
  field "labels" {
    type  = "list"
    read  = "filter(item.fields.labels ?? [], not (# startsWith 'sync:'))"
    write = "fields.labels"
    clear = []
  }
  field "sync_label" {
    type        = "text"
    label       = "marker"
    read        = "first(map(filter(item.fields.labels ?? [], # startsWith 'sync:'), #[5:]))"
    write       = "fields.labels"
    send        = "['sync:' + value]"
    create_only = true
    find        = { jql = "project = \"${setting.project}\" AND labels = \"sync:{value}\"" }
  }
  field "due_date" {
    type  = "date"
    read  = "item.fields.duedate"
    write = "fields.duedate"
  }
  field "created" {
    type      = "time"
    read      = "item.fields.created"
    read_only = true
  }
  field "updated" {
    type      = "time"
    read      = "item.fields.updated"
    read_only = true
  }

  comments "comments" {
    label  = "Comments"
    id     = "item.id"
    text   = "item.body"
    author = "item.author.displayName"
    time   = "item.created"
    edited = "item.updated"
    list {
      path  = "/rest/api/2/issue/{key}/comment"
      items = "body.comments"
      page "offset" {
        param = "startAt"
        limit = "maxResults"
        total = "body.total"
      }
    }
    add {
      path = "/rest/api/2/issue/{key}/comment"
      text = "body"
      item = "body"
    }
    edit {
      path = "/rest/api/2/issue/{key}/comment/{id}"
      text = "body"
      item = "body"
    }
  }
  attachments "attachments" {
    label  = "Files"
    id     = "item.id"
    name   = "item.filename"
    type   = "item.mimeType"
    size   = "item.size"
    author = "item.author.displayName"
    time   = "item.created"
    list {
      path  = "/rest/api/2/issue/{key}"
      query = { fields = "attachment" }
      items = "body.fields.attachment"
    }
    open {
      path  = "/rest/api/2/attachment/content/{id}"
      query = { redirect = "false" }
    }
    add {
      path    = "/rest/api/2/issue/{key}/attachments"
      headers = { X-Atlassian-Token = "no-check" }
      body    = "multipart"
      item    = "first(body)"
    }
  }
}
