package sim

import (
	"strconv"
)

// def shortens the column lists below.
type def = column

func text(name, label string, length int) *def {
	return &def{name: name, label: label, kind: "string", length: length}
}

func of(kind, name, label string) *def { return &def{name: name, label: label, kind: kind, length: 40} }

func ref(name, label, to string) *def {
	return &def{name: name, label: label, kind: "reference", length: 32, ref: to}
}

func list(name, label, to string) *def {
	return &def{name: name, label: label, kind: "glide_list", length: 4000, ref: to}
}

// pick is an integer with a choice list; kind and list style can be changed afterwards.
func pick(name, label, value string) *def {
	return &def{name: name, label: label, kind: "integer", length: 40, choice: "3", def: value}
}

// word is a string with a choice list that has a None.
func word(name, label, value string) *def {
	return &def{name: name, label: label, kind: "string", length: 40, choice: "1", def: value}
}

func (c *column) with(value string) *column      { c.def = value; return c }
func (c *column) fixed() *column                 { c.readOnly = true; return c }
func (c *column) shown() *column                 { c.display = true; return c }
func (c *column) by(key string) *column          { c.refKey = key; return c }
func (c *column) dependent(field string) *column { c.depends = field; return c }

// auditColumns are the platform's own columns, in every table.
func auditColumns() []*column {
	return []*column{
		{name: "sys_id", label: "Sys ID", kind: "GUID", length: 32, readOnly: true},
		of("glide_date_time", "sys_created_on", "Created").fixed(),
		text("sys_created_by", "Created by", 40).fixed(),
		of("glide_date_time", "sys_updated_on", "Updated").fixed(),
		text("sys_updated_by", "Updated by", 40).fixed(),
		of("integer", "sys_mod_count", "Updates").fixed(),
		text("sys_tags", "Tags", 255).fixed(),
	}
}

func taskColumns() []*column {
	return []*column{
		text("number", "Number", 40).shown(),
		text("short_description", "Short description", 160),
		text("description", "Description", 4000),
		ref("opened_by", "Opened by", "sys_user").fixed(),
		of("glide_date_time", "opened_at", "Opened").fixed(),
		pick("state", "State", "1"),
		pick("impact", "Impact", "3"),
		pick("urgency", "Urgency", "3"),
		pick("priority", "Priority", "4").fixed(),
		word("contact_type", "Channel", ""),
		ref("assignment_group", "Assignment group", "sys_user_group"),
		ref("assigned_to", "Assigned to", "sys_user"),
		ref("cmdb_ci", "Configuration item", "cmdb_ci"),
		ref("business_service", "Service", "cmdb_ci_service"),
		ref("service_offering", "Service offering", "service_offering"),
		ref("location", "Location", "cmn_location"),
		ref("company", "Company", "core_company"),
		text("correlation_id", "Correlation ID", 100),
		text("correlation_display", "Correlation display", 100),
		of("journal_input", "comments", "Additional comments"),
		of("journal_input", "work_notes", "Work notes"),
		of("journal_list", "comments_and_work_notes", "Comments and Work notes").fixed(),
		text("close_notes", "Resolution notes", 4000),
		of("glide_date_time", "closed_at", "Closed").fixed(),
		ref("closed_by", "Closed by", "sys_user").fixed(),
		of("boolean", "active", "Active").with("true").fixed(),
		of("integer", "reassignment_count", "Reassignment count").with("0").fixed(),
		ref("parent", "Parent", "task"),
		list("watch_list", "Watch list", "sys_user"),
		list("work_notes_list", "Work notes list", "sys_user"),
		of("glide_date_time", "due_date", "Due date"),
		of("glide_date_time", "follow_up", "Follow up"),
		of("glide_date_time", "expected_start", "Expected start"),
		of("glide_date_time", "work_start", "Actual start"),
		of("glide_date_time", "work_end", "Actual end"),
		of("due_date", "sla_due", "SLA due").fixed(),
		of("boolean", "made_sla", "Made SLA").with("true").fixed(),
		pick("escalation", "Escalation", "0").fixed(),
		of("due_date", "activity_due", "Activity due").fixed(),
		of("glide_duration", "business_duration", "Business duration").fixed(),
		of("glide_duration", "calendar_duration", "Duration").fixed(),
		of("timer", "time_worked", "Time worked").fixed(),
		{name: "approval", label: "Approval", kind: "string", length: 40, choice: "3", def: "not requested"},
		word("upon_approval", "Upon approval", "proceed"),
		word("upon_reject", "Upon reject", "cancel"),
		of("boolean", "knowledge", "Knowledge").with("false"),
		of("sys_class_name", "sys_class_name", "Task type").fixed(),
		text("task_effective_number", "Effective number", 40).fixed(),
		ref("universal_request", "Universal Request", "task"),
		text("route_reason", "Transfer reason", 40),
		{name: "sys_domain", label: "Domain", kind: "domain_id", length: 32, ref: "sys_user_group", def: "global", readOnly: true},
		text("sys_domain_path", "Domain Path", 255).with("/").fixed(),
	}
}

func incidentColumns() []*column {
	return []*column{
		pick("incident_state", "Incident state", "1"),
		word("hold_reason", "On hold reason", ""),
		pick("severity", "Severity", "3"),
		word("category", "Category", "inquiry"),
		word("subcategory", "Subcategory", "").dependent("category"),
		ref("caller_id", "Caller", "sys_user"),
		{name: "close_code", label: "Resolution code", kind: "string", length: 40, choice: "1"},
		of("glide_date_time", "resolved_at", "Resolved").fixed(),
		ref("resolved_by", "Resolved by", "sys_user").fixed(),
		of("integer", "reopen_count", "Reopen count").with("0").fixed(),
		of("glide_date_time", "reopened_time", "Last reopened at").fixed(),
		ref("reopened_by", "Last reopened by", "sys_user").fixed(),
		of("integer", "child_incidents", "Child Incidents").with("0").fixed(),
		ref("parent_incident", "Parent Incident", "incident"),
		ref("problem_id", "Problem", "problem"),
		ref("rfc", "Change Request", "change_request"),
		ref("caused_by", "Caused by Change", "change_request"),
		of("integer", "business_stc", "Business resolve time").fixed(),
		of("integer", "calendar_stc", "Resolve time").fixed(),
		pick("notify", "Notify", "1"),
		text("origin_table", "Origin table", 80),
		text("origin_id", "Origin", 32),
		text("cause", "Probable cause", 4000),
		text("business_impact", "Business impact", 4000),
	}
}

// A tableDef is one table of the base system.
type tableDef struct {
	name, label, parent, prefix string
	cols                        []*column
}

// baseTables lists parents before children.
func baseTables() []tableDef {
	name := func() []*column { return []*column{text("name", "Name", 255).shown()} }
	return []tableDef{
		{"task", "Task", "", "TASK", taskColumns()},
		{"incident", "Incident", "task", "INC", incidentColumns()},
		{"problem", "Problem", "task", "PRB", nil},
		{"change_request", "Change Request", "task", "CHG", nil},
		{"sys_user", "User", "", "", []*column{
			text("user_name", "User ID", 40), text("name", "Name", 151).shown(), text("first_name", "First name", 50), text("last_name", "Last name", 50),
			of("email", "email", "Email"), of("boolean", "active", "Active").with("true"), of("boolean", "locked_out", "Locked out").with("false"),
			text("time_zone", "Time zone", 40), text("date_format", "Date format", 40), text("time_format", "Time format", 40),
			ref("department", "Department", "cmn_department"), ref("company", "Company", "core_company"), text("phone", "Business phone", 40),
			of("boolean", "web_service_access_only", "Web service access only").with("false"), text("title", "Title", 60),
		}},
		{"sys_user_group", "Group", "", "", []*column{
			text("name", "Name", 80).shown(), text("description", "Description", 1000), of("email", "email", "Group email"),
			ref("manager", "Manager", "sys_user"), ref("parent", "Parent", "sys_user_group"), of("boolean", "active", "Active").with("true"),
		}},
		{"sys_user_grmember", "Group Member", "", "", []*column{ref("user", "User", "sys_user"), ref("group", "Group", "sys_user_group")}},
		{"sys_user_role", "Role", "", "", []*column{text("name", "Name", 100).shown(), text("description", "Description", 1000)}},
		{"sys_user_has_role", "User Role", "", "", []*column{
			ref("user", "User", "sys_user"), ref("role", "Role", "sys_user_role"), of("boolean", "inherited", "Inherited").with("false"), text("state", "State", 40).with("active"),
		}},
		{"sys_journal_field", "Journal Entry", "", "", []*column{
			text("element", "Element", 80), text("element_id", "Element ID", 32), text("name", "Name", 80), text("value", "Value", 65000),
		}},
		{"sys_attachment", "Attachment", "", "", attachmentColumns()},
		{"sys_db_object", "Table", "", "", []*column{
			text("name", "Name", 80), text("label", "Label", 80).shown(), ref("super_class", "Extends table", "sys_db_object"),
		}},
		{"sys_dictionary", "Dictionary Entry", "", "", []*column{
			text("name", "Table", 80), text("element", "Column name", 80), text("column_label", "Column label", 80).shown(),
			ref("internal_type", "Type", "sys_glide_object").by("name"), ref("reference", "Reference", "sys_db_object").by("name"),
			of("integer", "max_length", "Max length"), of("boolean", "mandatory", "Mandatory").with("false"), of("boolean", "read_only", "Read only").with("false"),
			of("boolean", "active", "Active").with("true"), text("default_value", "Default value", 512), of("integer", "choice", "Choice"),
			text("dependent_on_field", "Dependent on field", 80), of("boolean", "display", "Display").with("false"), text("attributes", "Attributes", 1000),
		}},
		{"sys_dictionary_override", "Dictionary Entry Override", "", "", []*column{text("name", "Table", 80), text("element", "Column name", 80), text("default_value", "Default value", 512)}},
		{"sys_glide_object", "Field class", "", "", []*column{text("name", "Name", 40), text("label", "Label", 80).shown()}},
		{"sys_choice", "Choice", "", "", []*column{
			text("name", "Table", 80), text("element", "Element", 80), text("value", "Value", 255), text("label", "Label", 255).shown(),
			text("dependent_value", "Dependent value", 255), of("integer", "sequence", "Sequence"), text("language", "Language", 5).with("en"),
			of("boolean", "inactive", "Inactive").with("false"),
		}},
		{"sys_properties", "System Property", "", "", []*column{text("name", "Name", 100).shown(), text("value", "Value", 4000), text("description", "Description", 1000)}},
		{"sys_audit", "Audit", "", "", []*column{
			text("tablename", "Table name", 80), text("documentkey", "Document key", 32), text("fieldname", "Field name", 80), text("oldvalue", "Old value", 4000),
			text("newvalue", "New value", 4000), text("user", "User", 40), of("integer", "record_checkpoint", "Update count"),
		}},
		{"sys_audit_delete", "Deleted Record", "", "", []*column{
			text("tablename", "Table name", 80), text("documentkey", "Document key", 32), text("display_value", "Display value", 255), text("payload", "Payload", 65000),
		}},
		{"cmdb_ci", "Configuration Item", "", "", append(name(), ref("support_group", "Support group", "sys_user_group"), of("sys_class_name", "sys_class_name", "Class").fixed())},
		{"cmdb_ci_service", "Service", "cmdb_ci", "", nil},
		{"service_offering", "Offering", "cmdb_ci", "", nil},
		{"cmn_location", "Location", "", "", name()},
		{"cmn_department", "Department", "", "", name()},
		{"core_company", "Company", "", "", name()},
	}
}

// A choiceDef is the list of one field, as value and label in turn.
type choiceDef struct {
	table, field, dependent string
	pairs                   []string
}

func baseChoices() []choiceDef {
	levels := []string{"1", "1 - High", "2", "2 - Medium", "3", "3 - Low"}
	states := []string{"1", "New", "2", "In Progress", "3", "On Hold", "6", "Resolved", "7", "Closed", "8", "Canceled"}
	same := func(vs ...string) []string {
		var out []string
		for _, v := range vs {
			out = append(out, v, v)
		}
		return out
	}
	return []choiceDef{
		{"incident", "state", "", states},
		{"incident", "incident_state", "", states},
		{"task", "state", "", []string{"-5", "Pending", "1", "Open", "2", "Work in Progress", "3", "Closed Complete", "4", "Closed Incomplete", "7", "Closed Skipped"}},
		{"task", "impact", "", levels},
		{"task", "urgency", "", levels},
		{"incident", "severity", "", levels},
		{"task", "priority", "", []string{"1", "1 - Critical", "2", "2 - High", "3", "3 - Moderate", "4", "4 - Low", "5", "5 - Planning"}},
		{"incident", "hold_reason", "", []string{"1", "Awaiting Caller", "3", "Awaiting Problem", "4", "Awaiting Vendor", "5", "Awaiting Change"}},
		{"incident", "close_code", "", same(closeCodes...)},
		{"incident", "category", "", []string{"inquiry", "Inquiry / Help", "software", "Software", "hardware", "Hardware", "network", "Network", "database", "Database"}},
		{"incident", "subcategory", "inquiry", []string{"antivirus", "Antivirus", "email", "Email", "internal application", "Internal Application"}},
		{"incident", "subcategory", "software", []string{"email", "Email", "os", "Operating System"}},
		{"incident", "subcategory", "hardware", []string{"cpu", "CPU", "disk", "Disk", "keyboard", "Keyboard", "memory", "Memory", "monitor", "Monitor", "mouse", "Mouse"}},
		{"incident", "subcategory", "network", []string{"dhcp", "DHCP", "dns", "DNS", "ip address", "IP Address", "vpn", "VPN", "wireless", "Wireless"}},
		{"incident", "subcategory", "database", []string{"db2", "DB2", "sql server", "MS SQL Server", "oracle", "Oracle"}},
		{"incident", "notify", "", []string{"1", "Do Not Notify", "2", "Send Email", "3", "Phone"}},
		{"task", "escalation", "", []string{"0", "Normal", "1", "Moderate", "2", "High", "3", "Overdue"}},
		{"task", "contact_type", "", []string{"email", "Email", "phone", "Phone", "self-service", "Self-service", "virtual_agent", "Virtual Agent", "walk-in", "Walk-in", "monitoring", "Monitoring"}},
		{"task", "approval", "", []string{"not requested", "Not Yet Requested", "requested", "Requested", "approved", "Approved", "rejected", "Rejected"}},
		{"task", "upon_approval", "", []string{"proceed", "Proceed to Next Task", "do_nothing", "Wait for a User to Close this task"}},
		{"task", "upon_reject", "", []string{"cancel", "Cancel all future Tasks", "goto", "Go to a previous Task"}},
	}
}

// define makes the base tables and describes them in sys_db_object, sys_dictionary and sys_choice.
func (s *Server) define() {
	for _, d := range baseTables() {
		t := newTable(d.name, d.label, d.prefix, s.tables[d.parent])
		if t.parent == nil {
			for _, c := range auditColumns() {
				t.add(c)
			}
		}
		for _, c := range d.cols {
			t.add(c)
		}
		s.tables[d.name] = t
	}
	for _, d := range baseTables() {
		super := ""
		if p := s.findOne("sys_db_object", "name", d.parent); p != nil {
			super = p.id
		}
		s.store("sys_db_object", map[string]string{"name": d.name, "label": d.label, "super_class": super})
		s.store("sys_dictionary", map[string]string{"name": d.name, "internal_type": "collection", "column_label": d.label})
		own := d.cols
		if d.parent == "" {
			own = append(auditColumns(), own...)
		}
		for _, c := range own {
			s.store("sys_dictionary", dictionaryRow(d.name, c))
		}
	}
	for _, d := range baseChoices() {
		for i := 0; i < len(d.pairs); i += 2 {
			s.store("sys_choice", map[string]string{
				"name": d.table, "element": d.field, "value": d.pairs[i], "label": d.pairs[i+1], "dependent_value": d.dependent,
				"sequence": strconv.Itoa(i / 2 * 10),
			})
		}
	}
	for _, kind := range []string{"string", "reference", "glide_date_time", "glide_date", "integer", "boolean", "GUID", "choice", "journal_input",
		"journal_list", "glide_list", "glide_duration", "due_date", "sys_class_name", "domain_id", "decimal", "email", "timer", "collection"} {
		s.store("sys_glide_object", map[string]string{"name": kind, "label": kind})
	}
}

func dictionaryRow(table string, c *column) map[string]string {
	return map[string]string{
		"name": table, "element": c.name, "column_label": c.label, "internal_type": c.kind, "reference": c.ref,
		"max_length": strconv.Itoa(c.length), "read_only": strconv.FormatBool(c.readOnly), "default_value": c.def, "choice": c.choice,
		"dependent_on_field": c.depends, "display": strconv.FormatBool(c.display),
	}
}

// learn makes a stored row of sys_dictionary or sys_db_object effective, as customers add tables and columns.
func (s *Server) learn(r *row) {
	switch r.t.name {
	case "sys_choice":
		s.choices = nil
	case "sys_db_object":
		name := r.get("name")
		if name == "" || s.tables[name] != nil {
			return
		}
		var parent *table
		if super := s.tables["sys_db_object"].find(r.get("super_class")); super != nil {
			parent = s.tables[super.get("name")]
		}
		t := newTable(name, r.get("label"), "", parent)
		if parent == nil {
			for _, c := range auditColumns() {
				t.add(c)
			}
		}
		s.tables[name] = t
	case "sys_dictionary":
		t, element := s.tables[r.get("name")], r.get("element")
		if t == nil || element == "" {
			return
		}
		length, err := strconv.Atoi(r.get("max_length"))
		if err != nil || length <= 0 {
			length = 40
		}
		kind := r.get("internal_type")
		if kind == "" {
			kind = "string"
		}
		c := &column{
			name: element, label: r.get("column_label"), kind: kind, length: length, ref: r.get("reference"), choice: r.get("choice"),
			def: r.get("default_value"), depends: r.get("dependent_on_field"), readOnly: r.get("read_only") == "true", display: r.get("display") == "true",
		}
		if old := t.column(element); old != nil {
			c.refKey = old.refKey
		}
		t.add(c)
	}
}

// A choice is one entry of a field's list.
type choice struct{ value, label string }

// choicesOf lists the active choices of a field. A child's own list replaces its parent's.
func (s *Server) choicesOf(t *table, field string) []choice {
	for ; t != nil; t = t.parent {
		if list := s.choices[t.name+"."+field]; len(list) > 0 {
			return list
		}
	}
	return nil
}

// loadChoices rebuilds the lists after sys_choice changed.
func (s *Server) loadChoices() {
	if s.choices != nil {
		return
	}
	s.choices = map[string][]choice{}
	t := s.tables["sys_choice"]
	t.settle()
	for _, r := range t.rows() {
		if r.get("inactive") == "true" || r.get("language") != "en" {
			continue
		}
		key := r.get("name") + "." + r.get("element")
		s.choices[key] = append(s.choices[key], choice{r.get("value"), r.get("label")})
	}
}
