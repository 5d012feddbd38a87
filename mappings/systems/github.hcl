# GitHub Issues of one repository, on github.com or GitHub Enterprise. Tested against recorded shapes from the public
# documentation of the REST API (version 2022-11-28), not against a live system.
#
# The user needs write access to the repository; a fine-grained token the permission Issues: read and write.
#
#   connection "rest" "github" {
#     system   = "github"
#     url      = "https://api.github.com"     # Enterprise: https://github.example.com/api/v3
#     settings = { repository = "acme/network" }
#     auth "bearer" { token = env("GITHUB_TOKEN") }
#     limits { rate = "5000/h" }
#   }
#
# Issues have no free field. The marker of new ones is the path sync_label, a label "sync:…" of at most 50 characters; a rule
# that writes labels later takes it away, which costs only finding the issue again after a loss of the state. GitHub
# deletes no issues through this API, and has files only as links in texts. Pull requests are left out.

setting "repository" {
  description = "OWNER/NAME"
}

auth "bearer" {}

headers = {
  Accept               = "application/vnd.github+json"
  X-GitHub-Api-Version = "2022-11-28"
}

login {
  path = "/user"
  user = "body.login"
}

error {
  message = "[body.message, body.errors]"
}

collection "issues" {
  key      = "item.number"
  label    = "item.title"
  modified = "item.updated_at"
  version  = "toJSON([item.updated_at, item.title, item.body, item.state, item.labels, item.assignees])"
  where    = "item.pull_request == nil"

  list {
    path = "/repos/${setting.repository}/issues"
    query = {
      state     = "all"
      sort      = "updated"
      direction = "desc"
    }
    items = "body"
    page "link" {}
  }
  changes {
    query = { since = "{since}" }
    time  = "2006-01-02T15:04:05Z"
  }
  read {
    path = "/repos/${setting.repository}/issues/{key}"
  }
  create {
    path = "/repos/${setting.repository}/issues"
    item = "body"
  }
  update {
    method = "PATCH"
    path   = "/repos/${setting.repository}/issues/{key}"
    item   = "body"
  }

  field "title" {
    type       = "text"
    max_length = 256
    required   = true
  }
  field "body" {
    type       = "text"
    max_length = 65536
  }
  field "state" {
    type    = "text"
    choices = ["open", "closed"]
  }
  field "state_reason" {
    type    = "text"
    choices = ["completed", "not_planned", "reopened", "duplicate"]
  }
  field "labels" {
    type  = "list"
    read  = "filter(map(item.labels ?? [], .name), not (# startsWith 'sync:'))"
    clear = []
  }
  field "sync_label" {
    type        = "text"
    label       = "marker"
    max_length  = 45
    read        = "first(map(filter(item.labels ?? [], .name startsWith 'sync:'), .name[5:]))"
    write       = "labels"
    send        = "['sync:' + value]"
    create_only = true
    find        = { labels = "sync:{value}" }
  }
  field "assignees" {
    type  = "list"
    read  = "map(item.assignees ?? [], .login)"
    clear = []
  }
  field "milestone" {
    type = "int"
    read = "item.milestone.number"
  }
  field "author" {
    type      = "text"
    read      = "item.user.login"
    read_only = true
  }
  field "html_url" {
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

  comments "comments" {
    label   = "Comments"
    readers = "public"
    id      = "item.id"
    text    = "item.body"
    author  = "item.user.login"
    time    = "item.created_at"
    edited  = "item.updated_at"
    list {
      path  = "/repos/${setting.repository}/issues/{key}/comments"
      items = "body"
      page "link" {}
    }
    add {
      path = "/repos/${setting.repository}/issues/{key}/comments"
      text = "body"
      item = "body"
    }
    edit {
      method = "PATCH"
      path   = "/repos/${setting.repository}/issues/comments/{id}"
      text   = "body"
      item   = "body"
    }
  }
}
