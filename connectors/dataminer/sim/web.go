package sim

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// idle is how long a session lives without a call.
	idle = 5 * time.Minute
	// zone is that of the Agent, whose times as text nobody should read.
	zoneName   = "Romance Standard Time"
	zoneOffset = 3600
	localTime  = "2006-01-02 15:04:05"
	exceptions = "Skyline.DataMiner.Web.Common."
)

// A fail is how a method of the Web Services fails.
type fail struct {
	Message       string `json:"Message"`
	StackTrace    string `json:"StackTrace"`
	ExceptionType string `json:"ExceptionType,omitempty"`
}

// fails makes an error of a method, with a trace that no client should show to anybody.
func (s *Server) fails(kind, message string) (int, any) {
	f := fail{Message: message, StackTrace: `   at Skyline.DataMiner.Web.Internal.Secret.Do() in C:\builds\secret.cs:line 7`}
	if s.switches["exceptions"] == "typed" && kind != "" {
		f.ExceptionType = exceptions + kind
	}
	return http.StatusInternalServerError, f
}

// A call has the parameters of a method, as they came.
type arguments map[string]json.RawMessage

func (a arguments) text(name string) string {
	var s string
	_ = json.Unmarshal(a[name], &s) // what is no text is none
	return s
}

func (a arguments) number(name string) int64 {
	var n int64
	_ = json.Unmarshal(a[name], &n)
	return n
}

func (a arguments) flag(name string) bool {
	var b bool
	_ = json.Unmarshal(a[name], &b)
	return b
}

// A webMethod has all its parameters but the connection, which all must be there.
type webMethod struct {
	params []string
	run    func(s *Server, a arguments) (int, any)
}

var webMethods map[string]webMethod

func init() {
	login := []string{"host", "login", "password", "clientAppName", "clientAppVersion", "clientComputerName"}
	webMethods = map[string]webMethod{
		"connectapp":                  {login, (*Server).connect},
		"connectappandinfo":           {login, (*Server).connectInfo},
		"isconnectionalive":           {nil, func(*Server, arguments) (int, any) { return http.StatusOK, true }},
		"logout":                      {nil, (*Server).logout},
		"getdatamineragenttimeutc":    {nil, func(s *Server, _ arguments) (int, any) { return http.StatusOK, s.now().UnixMilli() }},
		"getdatamineragenttimezone":   {nil, func(*Server, arguments) (int, any) { return http.StatusOK, map[string]any{"DisplayValue": zoneName} }},
		"getavailablealarmproperties": {nil, (*Server).available},
		"getactivealarms":             {nil, (*Server).activeAlarms},
		"getalarmdetailsv2":           {[]string{"dmaID", "elementID", "alarmID"}, (*Server).alarmDetails},
		"getcurrentalarmbyrootidv3":   {[]string{"dmaID", "elementID", "rootAlarmID"}, (*Server).currentAlarm},
		"getelementsforview":          {[]string{"viewID", "includeSubViews", "includeServices"}, listing(Element)},
		"getservicesforview":          {[]string{"viewID", "includeSubViews"}, listing(Service)},
		"getviewsforparent":           {[]string{"viewID"}, (*Server).viewsOf},
		"getelement":                  {[]string{"dmaID", "elementID"}, one(Element, "elementID")},
		"getservice":                  {[]string{"dmaID", "serviceID"}, one(Service, "serviceID")},
		"getview":                     {[]string{"viewID"}, one(View, "viewID")},
		"getpropertiesforelement":     {[]string{"dmaID", "elementID"}, propertiesOf(Element, "elementID")},
		"getpropertiesforservice":     {[]string{"dmaID", "serviceID"}, propertiesOf(Service, "serviceID")},
		"getpropertiesforview":        {[]string{"viewID"}, propertiesOf(View, "viewID")},
		"gettickettypes":              {nil, (*Server).ticketTypes},
		"getticketfields":             {[]string{"ticketTypeID"}, (*Server).fieldsOfType},
		"getactiveticketsv2":          {[]string{"pageNumber", "count", "filter"}, (*Server).activeTickets},
		"gethistoryticketsv2":         {[]string{"utcStartTime", "utcEndTime", "pageNumber", "count", "filter"}, (*Server).historyTickets},
		"getticketv2":                 {[]string{"ticketID", "includeHistory"}, (*Server).getTicket},
		"createticket":                {[]string{"ticket"}, (*Server).createTicket},
		"updateticket":                {[]string{"ticket"}, (*Server).updateTicket},
		"removeticketv2":              {[]string{"ticketID"}, (*Server).removeTicket},
		"setpropertyvalue":            {[]string{"objectType", "dmaID", "objectID", "propertyName", "propertyValue"}, (*Server).setPropertyValue},
	}
}

// call answers a request of the Web Services.
func (s *Server) call(r *http.Request, name string, body []byte) (int, any) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	m, known := webMethods[strings.ToLower(name)]
	var a arguments
	switch {
	case r.Method != http.MethodPost || kind != "application/json":
		return s.fails("", "Request format is unrecognized.")
	case !known:
		return s.fails("", "Unknown web method "+name+".")
	case json.Unmarshal(body, &a) != nil:
		return s.fails("", "Invalid JSON primitive.")
	}
	params := m.params
	if login := strings.HasPrefix(strings.ToLower(name), "connectapp"); !login {
		params = append([]string{"connection"}, params...)
	}
	for _, p := range params {
		if _, there := a[p]; !there {
			return s.fails("", fmt.Sprintf("Invalid web service call, missing value for parameter: '%s'.", p))
		}
	}
	if params[0] == "connection" && !s.alive(a.text("connection")) {
		if strings.EqualFold(name, "IsConnectionAlive") {
			return s.wrap(false)
		}
		return s.fails("NoConnectionWebApiException", "No connection available")
	}
	if strings.Contains(strings.ToLower(name), "ticket") && s.switches["generation"] != "legacy" {
		return s.fails("WebApiException", "Ticketing is not available")
	}
	status, out := m.run(s, a)
	if status != http.StatusOK {
		return status, out
	}
	return s.wrap(out)
}

func (s *Server) wrap(out any) (int, any) {
	if s.switches["envelope"] == "bare" {
		return http.StatusOK, out
	}
	return http.StatusOK, map[string]any{"d": out}
}

// alive reports whether a session lives, and lets it live on.
func (s *Server) alive(id string) bool {
	last, ok := s.sessions[id]
	if !ok || s.now().Sub(last) >= idle {
		delete(s.sessions, id)
		return false
	}
	s.sessions[id] = s.now()
	return true
}

// Recycle drops all sessions, as when the web server restarts.
func (s *Server) Recycle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// Sessions counts those that live, Logins all log-ins that were let in.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Logins counts the log-ins that were let in.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// login makes a session; "" for a wrong password.
func (s *Server) login(a arguments) string {
	if a.text("login") != User || a.text("password") != Password {
		return ""
	}
	s.logins++
	id := fmt.Sprintf("3d1f6a9e-0b57-4c2c-9e61-%012x", s.logins)
	s.sessions[id] = s.now()
	return id
}

func (s *Server) connect(a arguments) (int, any) {
	id := s.login(a)
	if id == "" {
		return s.fails("WebApiException", "Invalid credentials")
	}
	return http.StatusOK, id
}

func (s *Server) connectInfo(a arguments) (int, any) {
	id := s.login(a)
	if id == "" && s.switches["refusal"] == "500" {
		return s.fails("WebApiException", "Invalid credentials")
	}
	out := map[string]any{"__type": "Skyline.DataMiner.Web.Common.v1.DMAConnectAndInfo", "Connection": id, "Message": "", "MessageType": "",
		"DMAVersion": "10.5.12", "Time": s.local(s.now()), "TimeUTC": s.now().UnixMilli(), "User": map[string]string{"Name": User, "FullName": "fieldsync"},
		"Security": s.security(), "Licenses": map[string]bool{"Automation": true, "Ticketing": s.switches["generation"] == "legacy"}}
	if id == "" {
		out["Connection"], out["Message"], out["MessageType"] = nil, "Invalid credentials", "Error"
	}
	return http.StatusOK, out
}

// security is what the user may do, as far as tickets and alarms go.
func (s *Server) security() map[string]bool {
	m := map[string]bool{"AccessAlarms": true, "AccessElement": true, "Surveyor": true, "TicketsUI": true, "TicketsAddTicket": true, "TicketsEditTicket": true, "TicketsDeleteTicket": true}
	for _, name := range s.denied {
		m[name] = false
	}
	return m
}

// Deny takes rights away from the user, by the names that DMASecurity has for them.
func (s *Server) Deny(rights ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied = rights
}

func (s *Server) logout(a arguments) (int, any) {
	delete(s.sessions, a.text("connection"))
	return http.StatusOK, nil
}

// local is a time as the Agent writes it for people: in its own zone, which it does not name.
func (s *Server) local(t time.Time) string {
	return t.In(time.FixedZone(zoneName, zoneOffset)).Format(localTime)
}

func (s *Server) available(arguments) (int, any) {
	out := []any{}
	for _, name := range s.defined {
		if s.switches["available"] == "names" {
			out = append(out, name)
		} else {
			out = append(out, map[string]string{"Name": name, "Type": "Alarm"})
		}
	}
	return http.StatusOK, out
}

func (s *Server) activeAlarms(arguments) (int, any) {
	out := []any{}
	for _, a := range s.alarms {
		if !a.Cleared {
			out = append(out, s.dmaAlarm(a))
		}
	}
	return http.StatusOK, out
}

func (s *Server) dmaAlarm(a *Alarm) map[string]any {
	w := a.wire()
	return map[string]any{
		"__type": "Skyline.DataMiner.Web.Common.v1.DMAAlarm", "DataMinerID": w.DMA, "HostingAgentID": w.DMA, "ID": a.Record, "RootAlarmID": w.Root,
		"ElementID": w.Element, "ElementName": a.Element, "ParameterID": 1002, "ParameterName": a.Name, "TableIndex": "", "DisplayValue": "",
		"AlarmState": a.Severity, "Type": a.Type, "IsMasked": false, "Services": []string{"Channel 4 HD"},
		"TimeOfArrival": s.local(a.Modified), "TimeOfArrivalUTC": a.Modified.UnixMilli(), "RootTime": s.local(a.Raised), "RootTimeUTC": a.Raised.UnixMilli(),
		"IsOwner": false, "OwnerName": "", "LastChangeUTC": a.Modified.UnixMilli(), "IsCleared": a.Cleared,
	}
}

// absent answers for an id that does not exist.
func (s *Server) absent(what string) (int, any) {
	if s.switches["missing"] == "null" {
		return http.StatusOK, nil
	}
	return s.fails("WebApiException", what+" does not exist")
}

func (s *Server) currentAlarm(a arguments) (int, any) {
	found := s.alarms[fmt.Sprintf("%d/%d/%d", a.number("dmaID"), a.number("elementID"), a.number("rootAlarmID"))]
	if found == nil {
		return s.absent("The alarm")
	}
	return http.StatusOK, s.dmaAlarm(found)
}

// alarmDetails wants the id of a record, not that of the tree.
func (s *Server) alarmDetails(a arguments) (int, any) {
	for _, found := range s.alarms {
		if found.Record != a.number("alarmID") {
			continue
		}
		properties := []any{}
		for _, name := range s.defined {
			if v := found.Properties[name]; v != "" || s.switches["unset"] == "empty" {
				properties = append(properties, map[string]string{"Name": name, "Value": v, "Type": "Alarm"})
			}
		}
		return http.StatusOK, map[string]any{"Comments": "", "PropertiesAlarm": properties, "PropertiesElement": []any{}, "PropertiesService": []any{}, "PropertiesView": []any{}}
	}
	return s.absent("The alarm record " + strconv.FormatInt(a.number("alarmID"), 10))
}
