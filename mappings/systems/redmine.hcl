# Redmine 4 and 5, through its REST API. Tested against a live Redmine 5.0.
#
# In Redmine: Administration, Settings, API: enable the REST web service. Make a user for fieldsync alone, a member of
# the project with a role that may view, add and edit issues and notes (delete issues, where rules delete). Its key
# stands on its account page:
#
#   connection "rest" "tracker" {
#     system   = "redmine"
#     url      = "https://redmine.example.com"
#     settings = { project = "noc" }
#     auth "header" { key = env("REDMINE_KEY") }
#   }
#
# Custom fields are paths like "custom_fields.Severity", by name, or by number: "custom_fields.3". As the marker of new
# issues take one of the format text that is used as a filter. One that is "for all projects" is not listed by Redmine, and
# is known by its name only once an issue shows it: tick the project for it, or write its number. status, priority and
# tracker are their names. A status that the workflow forbids is not stored, and Redmine does not say so; the run shows what
# was. Carried notes are edited from Redmine 5 on, where the role may edit its own notes.

setting "project" {
  description = "identifier of the project; without it issues of all projects are listed, and none can be made"
  default     = ""
}

auth "header" {
  name = "X-Redmine-API-Key"
}
auth "basic" {}

# A wrong key would see an empty list where anonymous access is on.
login {
  path = "/users/current.json"
  user = "body.user.login"
}

error {
  message = "body.errors"
}

collection "issues" {
  key      = "item.id"
  label    = "item.subject"
  modified = "item.updated_on"
  closed   = true

  # The newest change first: an issue that changes while pages are read moves to the front, and none slips through.
  list {
    path = "/issues.json"
    query = {
      project_id = setting.project
      status_id  = "*"
      sort       = "updated_on:desc,id:desc"
    }
    items = "body.issues"
    page "offset" { total = "body.total_count" }
  }
  changes {
    query = { updated_on = ">={since}" }
    time  = "2006-01-02T15:04:05Z"
  }
  read {
    path = "/issues/{key}.json"
    item = "body.issue"
  }
  read_many {
    path = "/issues.json"
    query = {
      issue_id  = "{keys}"
      status_id = "*"
      limit     = 100
    }
    items = "body.issues"
    max   = 100
  }
  create {
    path = "/issues.json"
    wrap = "issue"
    set  = { project_id = setting.project }
    key  = "body.issue.id"
  }
  update {
    path = "/issues/{key}.json"
    wrap = "issue"
  }
  delete {
    path = "/issues/{key}.json"
  }

  field "subject" {
    type       = "text"
    max_length = 255
    required   = true
  }
  # Redmine keeps line ends as CRLF.
  field "description" {
    type = "text"
    read = "replace(item.description ?? '', \"\\r\\n\", \"\\n\")"
  }
  # A workflow begins with one status for new issues, as a rule; another that they are given is left out in silence.
  field "status" {
    type        = "text"
    read        = "item.status.name"
    write       = "status_id"
    update_only = true
    options {
      path  = "/issue_statuses.json"
      items = "body.issue_statuses"
      value = "item.id"
      label = "item.name"
    }
  }
  field "priority" {
    type  = "text"
    read  = "item.priority.name"
    write = "priority_id"
    options {
      path  = "/enumerations/issue_priorities.json"
      items = "body.issue_priorities"
      value = "item.id"
      label = "item.name"
    }
  }
  field "tracker" {
    type  = "text"
    read  = "item.tracker.name"
    write = "tracker_id"
    options {
      path  = "/trackers.json"
      items = "body.trackers"
      value = "item.id"
      label = "item.name"
    }
  }
  # null does not clear a reference; an empty text does.
  field "assigned_to_id" {
    type      = "int"
    reference = "users"
    read      = "item.assigned_to.id"
    clear     = ""
  }
  field "assigned_to" {
    type      = "text"
    read      = "item.assigned_to.name"
    read_only = true
  }
  field "category_id" {
    type  = "int"
    read  = "item.category.id"
    clear = ""
  }
  field "fixed_version_id" {
    type  = "int"
    read  = "item.fixed_version.id"
    clear = ""
  }
  field "parent_issue_id" {
    type  = "int"
    read  = "item.parent.id"
    clear = ""
  }
  field "project" {
    type      = "text"
    read      = "item.project.name"
    read_only = true
  }
  field "project_id" {
    read = "item.project.id"
  }
  field "author" {
    type      = "text"
    read      = "item.author.name"
    read_only = true
  }
  field "start_date" {
    type  = "date"
    clear = ""
  }
  field "due_date" {
    type  = "date"
    clear = ""
  }
  field "done_ratio" {
    type = "int"
  }
  field "estimated_hours" {
    type  = "float"
    clear = ""
  }
  field "is_private" {
    type = "bool"
  }
  field "created_on" {
    type      = "time"
    read_only = true
  }
  field "updated_on" {
    type      = "time"
    read_only = true
  }
  field "closed_on" {
    type      = "time"
    read_only = true
  }
  named "custom_fields" {
    name  = "name"
    id    = "id"
    value = "value"
    clear = ""
    find  = { "cf_{id}" = "{value}" }
    known {
      path  = "/projects/${setting.project}.json"
      query = { include = "issue_custom_fields" }
      items = "body.project.issue_custom_fields"
    }
  }

  comments "notes" {
    label   = "Notes"
    readers = "public"
    where   = "(item.notes ?? '') != '' && item.private_notes != true"
    id      = "item.id"
    text    = "replace(item.notes, \"\\r\\n\", \"\\n\")"
    author  = "item.user.name"
    time    = "item.created_on"
    list {
      path  = "/issues/{key}.json"
      query = { include = "journals" }
      items = "body.issue.journals"
    }
    add {
      method = "PUT"
      path   = "/issues/{key}.json"
      wrap   = "issue"
      text   = "notes"
    }
    edit {
      path = "/journals/{id}.json"
      wrap = "journal"
      text = "notes"
    }
  }
  comments "private_notes" {
    label   = "Private notes"
    readers = "staff"
    where   = "(item.notes ?? '') != '' && item.private_notes == true"
    id      = "item.id"
    text    = "replace(item.notes, \"\\r\\n\", \"\\n\")"
    author  = "item.user.name"
    time    = "item.created_on"
    list {
      path  = "/issues/{key}.json"
      query = { include = "journals" }
      items = "body.issue.journals"
    }
    add {
      method = "PUT"
      path   = "/issues/{key}.json"
      wrap   = "issue"
      text   = "notes"
      set    = { private_notes = true }
    }
    edit {
      path = "/journals/{id}.json"
      wrap = "journal"
      text = "notes"
    }
  }
  attachments "attachments" {
    label   = "Files"
    readers = "public"
    id      = "item.id"
    name    = "item.filename"
    type    = "item.content_type"
    size    = "item.filesize"
    author  = "item.author.name"
    time    = "item.created_on"
    list {
      path  = "/issues/{key}.json"
      query = { include = "attachments" }
      items = "body.issue.attachments"
    }
    open {
      path = "/attachments/download/{id}"
    }
    upload {
      path    = "/uploads.json"
      query   = { filename = "{name}" }
      headers = { Content-Type = "application/octet-stream" }
      body    = "raw"
      token   = "body.upload.token"
    }
    add {
      method = "PUT"
      path   = "/issues/{key}.json"
      wrap   = "issue"
      set    = { uploads = [{ token = "{token}", filename = "{name}", content_type = "{type}" }] }
    }
  }
}
