package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	alarmsim "github.com/fieldsync/fieldsync/connectors/dataminer/sim"
)

// theirProperties shows an incident on the alarm, the element, the service and the view that its ticket is linked to.
// PROPERTY, of TARGET, is one of the three.
const theirProperties = `
translation "label" {
  columns = ["incident", "target"]
  rows    = [["1", "Acknowledged"], ["2", "In Progress"], ["3", "On Hold"], ["6", "Resolved"], ["7", "Closed"], ["8", "Canceled"]]
}
sync "incident_to_property" {
  after = [sync.ticket_to_incident]
  side "incident" {
    connection = connection.prod
    collection = "incident"
    where      = "incident.correlation_display != nil"
  }
  side "target" {
    connection = connection.noc
    collection = "TARGET"
  }
  match {
    incident = "correlation_display"
    target   = "id"
  }
  field "property" {
    flow     = "incident -> target"
    incident = "SOURCE"
    target   = "PROPERTY"
    VIA
  }
}
`

// A shown is one of the three properties with what it shows.
type shown struct {
	property string
	source   string // path of the incident
	via      string
	value    func(in map[string]string) string
}

var threeShown = []shown{
	{"Incident Status", "state", "via = translation.label", func(in map[string]string) string {
		return map[string]string{"1": "Acknowledged", "2": "In Progress", "3": "On Hold", "6": "Resolved", "7": "Closed", "8": "Canceled"}[in["state"]]
	}},
	{"Incident Number", "number", "", func(in map[string]string) string { return in["number"] }},
	{"Ticket ID", "correlation_id", "", func(in map[string]string) string { return in["correlation_id"] }},
}

// The collections that properties are written to, and the path of a ticket that says which record.
var targets = map[string]string{"alarm_properties": "alarm", "elements": "element", "services": "service", "views": "view"}

// kinds are what the simulator calls them.
var kinds = map[string]string{"elements": alarmsim.Element, "services": alarmsim.Service, "views": alarmsim.View}

// A marked is a stage with a ticket that has an incident, and an alarm, an element, a service and a view that the ticket is
// linked to. The incident is not shown on any of them yet.
type marked struct {
	*stage
	shown
	target string // collection
	ticket string
	keys   map[string]string // by collection
}

func newMarked(t *testing.T, p shown, target string) *marked {
	m := &marked{shown: p, target: target, keys: map[string]string{}}
	m.stage = newStage(t, "")
	m.mapping(m.write())
	m.keys["alarm_properties"] = m.noc.RaiseAlarm("Input bitrate low", "Major", nil)
	m.ticket = m.noc.AddTicket(map[string]string{"Title": "Input bitrate low", "State": "New", "Priority": "High"}, m.keys["alarm_properties"])
	for _, collection := range []string{"elements", "services", "views"} { // the first element is where the alarm comes from
		for _, name := range []string{"Headend 2", "Headend 3"} {
			key := m.noc.AddObject(kinds[collection], name, map[string]string{"Incident Status": "", "Incident Number": "", "Ticket ID": "", "Site": "Ghent"})
			if name == "Headend 2" {
				m.keys[collection] = key
				m.noc.LinkTicket(m.ticket, kinds[collection], key)
			}
		}
	}
	m.noc.RaiseAlarm("Fan failure", "Minor", nil) // which no ticket is about
	m.ends(exitOK, "apply", "--yes", "ticket_to_incident")
	return m
}

// write is the mapping, with some of it replaced.
func (m *marked) write(pairs ...string) string {
	link := "  field \"link\" {\n    flow     = \"ticket -> incident\"\n    ticket   = \"" + targets[m.target] + "\"\n    incident = \"correlation_display\"\n  }\n"
	text := strings.Replace(theirTickets, "  field \"constants\" {", link+"  field \"constants\" {", 1)
	text += strings.NewReplacer("TARGET", m.target, "SOURCE", m.source, "PROPERTY", m.property, "VIA", m.via).Replace(theirProperties)
	return m.edited(text, pairs...)
}

// properties are those of the target.
func (m *marked) properties() map[string]string {
	m.t.Helper()
	if kind := kinds[m.target]; kind != "" {
		o, ok := m.noc.Object(kind, m.keys[m.target])
		if !ok {
			m.t.Fatalf("there is no %s %s", kind, m.keys[m.target])
		}
		return o.Properties
	}
	return m.alarm().Properties
}

func (m *marked) alarm() alarmsim.Alarm {
	m.t.Helper()
	a, ok := m.noc.Get(m.keys["alarm_properties"])
	if !ok {
		m.t.Fatal("the alarm is gone")
	}
	return a
}

// set changes the property as an operator does.
func (m *marked) set(value string) {
	m.t.Helper()
	if kind := kinds[m.target]; kind != "" {
		m.must(m.noc.SetObjectProperty(kind, m.keys[m.target], m.property, value))
		return
	}
	m.must(m.noc.SetProperty(m.keys[m.target], m.property, value))
}

// shows holds the property to what the incident says, and all others to nothing.
func (m *marked) shows() {
	m.t.Helper()
	want := map[string]string{m.property: m.value(m.incident("correlation_id", m.ticket))}
	if want[m.property] == "" {
		m.t.Fatalf("the incident has no %s", m.source)
	}
	got := map[string]string{}
	for name, v := range m.properties() {
		if v != "" && name != "Site" {
			got[name] = v
		}
	}
	m.same("properties of "+m.target, got, want)
	for _, a := range m.noc.All() {
		if a.Name == "Fan failure" && len(a.Properties) > 0 {
			m.t.Errorf("an alarm without a ticket shows %v", a.Properties)
		}
	}
}

func TestWhatDataMinersProductDoesOnProperties(t *testing.T) {
	for _, p := range threeShown {
		for _, row := range []struct {
			name   string
			target string
			does   func(*marked)
		}{
			{"the alarm is found from the ticket", "alarm_properties", foundAndShown},
			{"the alarm is found by either number that a ticket may have", "alarm_properties", foundByRecord},
			{"a ticket without an alarm shows nowhere", "alarm_properties", shownNowhere},
			{"the alarm changed its severity meanwhile", "alarm_properties", changedSeverity},
			{"the alarm cleared meanwhile and is let be", "alarm_properties", clearedAndGone},
			{"the alarm cleared meanwhile and is written all the same", "alarm_properties", clearedAndKept},
			{"the alarm cleared after it was written", "alarm_properties", clearedLater},
			{"the property is missing", "alarm_properties", propertyMissing},
			{"the property takes certain values only", "alarm_properties", propertyOfValues},
			{"written on change only", "alarm_properties", writtenOnChange},
			{"what is there already is not written", "alarm_properties", alreadyThere},
			{"put back after an operator's edit", "alarm_properties", putBackAfterEdit},
			{"on an element", "elements", foundAndShown},
			{"on a service", "services", foundAndShown},
			{"on a view", "views", foundAndShown},
			{"on an element, put back after an operator's edit", "elements", putBackAfterEdit},
			{"on a service, put back after an operator's edit", "services", putBackAfterEdit},
			{"on a view, put back after an operator's edit", "views", putBackAfterEdit},
			{"on an element that does not have it", "elements", objectPropertyMissing},
			{"on an element that takes certain values only", "elements", objectPropertyOfValues},
			{"on an element that is taken away", "elements", objectTakenAway},
		} {
			t.Run(p.property+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				row.does(newMarked(t, p, row.target))
			})
		}
	}
	for _, state := range []string{"1", "2", "3", "6", "7", "8"} {
		t.Run("Incident Status/of state "+state, func(t *testing.T) {
			t.Parallel()
			m := newMarked(t, threeShown[0], "alarm_properties")
			m.apply()
			m.edit(m.ticket, map[string]string{"state": state, "close_code": "Solution provided", "close_notes": "done"})
			m.apply()
			m.shows()
			m.quiet()
		})
	}
}

func foundAndShown(m *marked) {
	m.apply()
	m.shows()
	m.same("writes to DataMiner: the ticket's reference and the property", m.noc.Writes(), 2)
	m.quiet()
}

func foundByRecord(m *marked) {
	for _, link := range []string{"record", "root-alone"} {
		m.must(m.noc.Switch("link=" + link))
		m.apply()
		m.shows()
	}
}

func shownNowhere(m *marked) {
	other := m.noc.AddTicket(map[string]string{"Title": "No alarm", "State": "New", "Priority": "High"}, "")
	m.apply()
	m.incident("correlation_id", other)
	m.shows()
	for _, a := range m.noc.All() {
		if a.Properties[m.property] != "" && a.Key != m.keys["alarm_properties"] {
			m.t.Errorf("%s shows %v", a.Key, a.Properties)
		}
	}
	m.quiet()
}

func changedSeverity(m *marked) {
	for _, severity := range []string{"Critical", "Minor"} {
		m.noc.ChangeSeverity(m.keys["alarm_properties"], severity)
		m.apply()
		m.shows()
		m.same("severity", m.alarm().Severity, severity)
	}
	m.quiet()
}

func clearedAndGone(m *marked) {
	m.noc.ClearAlarm(m.keys["alarm_properties"])
	record := m.alarm().Record
	m.apply()
	m.same("properties of the alarm that has cleared", len(m.alarm().Properties), 0)
	m.same("its newest record", m.alarm().Record, record)
	m.edit(m.ticket, map[string]string{"state": "2"})
	m.apply()
	m.same("the ticket goes on", m.stage.ticket(m.ticket)["State"], "In Progress")
	m.quiet()
}

func clearedAndKept(m *marked) {
	m.mapping(m.write("bridge { token", "cleared = \"kept\"\n  bridge { token"))
	m.noc.ClearAlarm(m.keys["alarm_properties"])
	m.approveIfAsked("apply", "--yes")
	m.shows()
	m.edit(m.ticket, map[string]string{"state": "2"})
	m.apply()
	m.shows()
	m.quiet()
}

func clearedLater(m *marked) {
	m.apply()
	m.shows()
	m.noc.ClearAlarm(m.keys["alarm_properties"])
	was := m.properties()[m.property]
	m.edit(m.ticket, map[string]string{"state": "2"})
	m.apply()
	m.same("what the cleared alarm shows", m.properties()[m.property], was)
	if m.source == "state" { // the change that the alarm has not got is not passed over in silence
		m.says(exitOK, []string{"holds"}, "target is gone, but its twin was changed")
	}
	m.quiet()
}

func propertyMissing(m *marked) {
	misspelt := strings.Replace(m.property, " ", "", 1)
	before := m.writes()
	m.mapping(m.write("\""+m.property+"\"", "\""+misspelt+"\""))
	for _, command := range [][]string{{"validate"}, {"plan", "incident_to_property"}, {"apply", "--yes", "incident_to_property"}} {
		m.says(exitError, command, misspelt, fmt.Sprintf("id you mean %q", m.property))
	}
	m.says(exitError, []string{"check", "noc"}, fmt.Sprintf("alarm property %q does not exist", misspelt), fmt.Sprintf("there is %q", m.property))
	m.same("writes", m.writes(), before)
	// An administrator makes it: nothing has to be started anew or mended.
	m.noc.Define(misspelt)
	m.apply()
	m.same("the new property", m.properties()[misspelt], m.value(m.incident("correlation_id", m.ticket)))
	m.quiet()
}

func propertyOfValues(m *marked) {
	m.noc.Format("alarm", m.property, regexp.MustCompile(`^(On Hold|none)$`))
	out, code := m.run("apply", "--yes")
	if code != exitFailed || !strings.Contains(out, m.property) || !strings.Contains(out, "no value that the property") {
		m.t.Errorf("ends with %d and says:\n%s", code, out)
	}
	m.same("the property", m.properties()[m.property], "")
	m.says(exitOK, []string{"holds"}, "no value that the property")
	m.noc.Format("alarm", m.property, regexp.MustCompile(`.`))
	m.pass(halfDay) // held things are tried again after a while
	m.apply()
	m.shows()
}

func writtenOnChange(m *marked) {
	m.apply()
	m.shows()
	record := m.alarm().Record
	for range 3 {
		m.apply()
	}
	m.ends(exitOK, "apply", "--yes", "--full")
	m.noc.Recycle()
	m.apply()
	// A change of the incident that the property does not show.
	m.edit(m.ticket, map[string]string{"work_notes": "Looking at it"})
	m.apply()
	m.same("the newest record in the alarm's tree", m.alarm().Record, record)
}

func alreadyThere(m *marked) {
	m.set(m.value(m.incident("correlation_id", m.ticket)))
	record := m.alarm().Record
	m.apply()
	m.shows()
	m.same("the newest record in the alarm's tree", m.alarm().Record, record)
	m.quiet()
}

func putBackAfterEdit(m *marked) {
	m.apply()
	for _, edit := range []string{"something else", ""} {
		m.set(edit)
		m.apply()
		m.shows()
	}
	m.quiet()
}

func objectPropertyMissing(m *marked) {
	misspelt := strings.Replace(m.property, " ", "", 1)
	before := m.writes()
	m.mapping(m.write("\""+m.property+"\"", "\""+misspelt+"\""))
	m.says(exitError, []string{"apply", "--yes", "incident_to_property"}, misspelt, fmt.Sprintf("id you mean %q", m.property))
	m.same("writes", m.writes(), before)
}

func objectPropertyOfValues(m *marked) {
	m.noc.Format(alarmsim.Element, m.property, regexp.MustCompile(`^(On Hold|none)$`))
	out, code := m.run("apply", "--yes")
	if code != exitFailed || !strings.Contains(out, m.property) {
		m.t.Errorf("ends with %d and says:\n%s", code, out)
	}
	m.same("the property", m.properties()[m.property], "")
}

func objectTakenAway(m *marked) {
	m.apply()
	m.shows()
	m.noc.RemoveObject(alarmsim.Element, m.keys["elements"])
	m.apply()
	m.edit(m.ticket, map[string]string{"state": "2"})
	m.apply()
	m.same("the ticket goes on", m.stage.ticket(m.ticket)["State"], "In Progress")
	m.quiet()
}
