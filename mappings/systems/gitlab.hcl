# GitLab issues of one project, on gitlab.com or your own server. Tested against recorded shapes from the public
# documentation of the REST API v4, not against a live system.
#
# The user needs the role Reporter in the project (Planner or higher to change issues of others; Owner to delete); the
# token the scope api.
#
#   connection "rest" "gitlab" {
#     system   = "gitlab"
#     url      = "https://gitlab.com"
#     settings = { project = "278964" }       # the number of the project, from its page
#     auth "header" { key = env("GITLAB_TOKEN") }
#   }
#
# The key is the number that people see (#12). Issues have no free field: the marker of new ones is the path sync_label, a
# label "sync:…", which a rule that writes labels later takes away. Files are only links in texts there.

setting "project" {
  description = "number of the project"
}

auth "header" {
  name = "PRIVATE-TOKEN"
}
auth "bearer" {}

login {
  path = "/api/v4/user"
  user = "body.username"
}

error {
  message = "body.message ?? body.error"
}

collection "issues" {
  key      = "item.iid"
  label    = "item.title"
  modified = "item.updated_at"
  version  = "toJSON([item.updated_at, item.title, item.description, item.state, item.labels])"

  list {
    path = "/api/v4/projects/${setting.project}/issues"
    query = {
      scope    = "all"
      order_by = "updated_at"
      sort     = "desc"
    }
    items = "body"
    page "link" {}
  }
  changes {
    query = { updated_after = "{since}" }
    time  = "2006-01-02T15:04:05Z"
  }
  read {
    path = "/api/v4/projects/${setting.project}/issues/{key}"
  }
  create {
    path = "/api/v4/projects/${setting.project}/issues"
    item = "body"
  }
  update {
    path = "/api/v4/projects/${setting.project}/issues/{key}"
    item = "body"
  }
  delete {
    path = "/api/v4/projects/${setting.project}/issues/{key}"
  }

  field "title" {
    type       = "text"
    max_length = 255
    required   = true
  }
  field "description" {
    type  = "text"
    clear = ""
  }
  # A state is changed by an event.
  field "state" {
    type    = "text"
    choices = ["opened", "closed"]
    write   = "state_event"
    send    = "value == 'closed' ? 'close' : 'reopen'"
  }
  field "labels" {
    type  = "list"
    read  = "filter(item.labels ?? [], not (# startsWith 'sync:'))"
    send  = "join(value, ',')"
    join  = ","
    clear = ""
  }
  field "sync_label" {
    type        = "text"
    label       = "marker"
    read        = "first(map(filter(item.labels ?? [], # startsWith 'sync:'), #[5:]))"
    write       = "labels"
    send        = "'sync:' + value"
    join        = ","
    create_only = true
    find        = { labels = "sync:{value}" }
  }
  field "assignee_ids" {
    type      = "list"
    reference = "users"
    read      = "map(item.assignees ?? [], .id)"
    clear     = [0]
  }
  field "milestone_id" {
    type  = "int"
    read  = "item.milestone.id"
    clear = 0
  }
  field "confidential" {
    type = "bool"
  }
  field "due_date" {
    type  = "date"
    clear = ""
  }
  field "author" {
    type      = "text"
    read      = "item.author.username"
    read_only = true
  }
  field "web_url" {
    type      = "text"
    read_only = true
  }
  field "created_at" {
    type      = "time"
    read_only = true
  }
  field "updated_at" {
    type      = "time"
    read_only = true
  }
  field "closed_at" {
    type      = "time"
    read_only = true
  }

  comments "notes" {
    label   = "Comments"
    readers = "public"
    where   = "item.system != true && item.internal != true"
    id      = "item.id"
    text    = "item.body"
    author  = "item.author.username"
    time    = "item.created_at"
    edited  = "item.updated_at"
    list {
      path  = "/api/v4/projects/${setting.project}/issues/{key}/notes"
      query = { sort = "asc" }
      items = "body"
      page "link" {}
    }
    add {
      path = "/api/v4/projects/${setting.project}/issues/{key}/notes"
      text = "body"
      item = "body"
    }
    edit {
      path = "/api/v4/projects/${setting.project}/issues/{key}/notes/{id}"
      text = "body"
      item = "body"
    }
  }
  comments "internal_notes" {
    label   = "Internal notes"
    readers = "staff"
    where   = "item.system != true && item.internal == true"
    id      = "item.id"
    text    = "item.body"
    author  = "item.author.username"
    time    = "item.created_at"
    edited  = "item.updated_at"
    list {
      path  = "/api/v4/projects/${setting.project}/issues/{key}/notes"
      query = { sort = "asc" }
      items = "body"
      page "link" {}
    }
    add {
      path = "/api/v4/projects/${setting.project}/issues/{key}/notes"
      text = "body"
      set  = { internal = true }
      item = "body"
    }
    edit {
      path = "/api/v4/projects/${setting.project}/issues/{key}/notes/{id}"
      text = "body"
      item = "body"
    }
  }
}
