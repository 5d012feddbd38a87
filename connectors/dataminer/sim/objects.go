package sim

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
)

// The kinds of objects.
const (
	Element = "element"
	Service = "service"
	View    = "view"
)

// An Object is an element, a service or a view.
type Object struct {
	ID         int64
	Name       string
	Parent     int64             // of views: -1 is the root
	Properties map[string]string // all that are defined when it is made; "" is not set
}

// AddObject makes an object with these properties, which are the ones that it has, and returns its key.
func (s *Server) AddObject(kind, name string, properties map[string]string) (key string) {
	return s.AddView(kind, name, -1, properties)
}

// AddView is AddObject with the view that it stands under.
func (s *Server) AddView(kind, name string, parent int64, properties map[string]string) (key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	s.objects[kind][s.lastID] = &Object{ID: s.lastID, Name: name, Parent: parent, Properties: maps.Clone(properties)}
	return keyOf(kind, s.lastID)
}

func keyOf(kind string, id int64) string {
	if kind == View {
		return fmt.Sprint(id)
	}
	return fmt.Sprintf("%d/%d", agent, id)
}

func (s *Server) object(kind, key string) *Object {
	for id, o := range s.objects[kind] {
		if keyOf(kind, id) == key {
			return o
		}
	}
	return nil
}

// SetObjectProperty changes a property as an operator does.
func (s *Server) SetObjectProperty(kind, key, name, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.object(kind, key)
	if o == nil {
		return fmt.Errorf("there is no %s %s", kind, key)
	}
	o.Properties[name] = value
	return nil
}

// RemoveObject takes an object away.
func (s *Server) RemoveObject(kind, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.object(kind, key); o != nil {
		delete(s.objects[kind], o.ID)
	}
}

// Object returns one; ok is false if there is none.
func (s *Server) Object(kind, key string) (o Object, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.object(kind, key)
	if found == nil {
		return Object{}, false
	}
	o = *found
	o.Properties = maps.Clone(found.Properties)
	return o, true
}

// Format lets a property, of alarms or of a kind of objects, take only values that match.
func (s *Server) Format(kind, name string, values *regexp.Regexp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.formats[kind+" "+name] = values
}

func (s *Server) formatted(kind, name, value string) error {
	if re := s.formats[kind+" "+name]; re != nil && value != "" && !re.MatchString(value) {
		return fmt.Errorf("%q is no value that the property %s may have", value, name)
	}
	return nil
}

func (s *Server) dma(kind string, o *Object) map[string]any {
	if kind == View {
		childs := false
		for _, v := range s.objects[View] {
			childs = childs || v.Parent == o.ID
		}
		return map[string]any{"__type": "Skyline.DataMiner.Web.Common.v1.DMAView", "ID": o.ID, "Name": o.Name, "AlarmState": "Normal", "ParentID": o.Parent, "HasChilds": childs, "LastChangeUTC": 0}
	}
	return map[string]any{"__type": "Skyline.DataMiner.Web.Common.v1.DMAElement", "DataMinerID": agent, "ID": o.ID, "Name": o.Name, "Description": "", "AlarmState": "Normal",
		"ProtocolName": "Generic", "ProtocolVersion": "1.0.0.1", "State": "Active", "Type": kind, "LastChangeUTC": 0}
}

func (s *Server) sorted(kind string) []*Object {
	return slices.SortedFunc(maps.Values(s.objects[kind]), func(a, b *Object) int { return cmp.Compare(a.ID, b.ID) })
}

// listing answers with all objects of a kind below the root view. An element that is in two views comes twice.
func listing(kind string) func(*Server, arguments) (int, any) {
	return func(s *Server, a arguments) (int, any) {
		out := []any{}
		for i, o := range s.sorted(kind) {
			out = append(out, s.dma(kind, o))
			if i == 0 {
				out = append(out, s.dma(kind, o))
			}
		}
		if a.number("viewID") != -1 || !a.flag("includeSubViews") {
			return http.StatusOK, []any{}
		}
		return http.StatusOK, out
	}
}

func (s *Server) viewsOf(a arguments) (int, any) {
	out := []any{}
	for _, v := range s.sorted(View) {
		if v.Parent == a.number("viewID") {
			out = append(out, s.dma(View, v))
		}
	}
	return http.StatusOK, out
}

func one(kind, id string) func(*Server, arguments) (int, any) {
	return func(s *Server, a arguments) (int, any) {
		o := s.objects[kind][a.number(id)]
		if o == nil || kind != View && a.number("dmaID") != agent {
			return s.absent("The " + kind)
		}
		return http.StatusOK, s.dma(kind, o)
	}
}

func propertiesOf(kind, id string) func(*Server, arguments) (int, any) {
	return func(s *Server, a arguments) (int, any) {
		o := s.objects[kind][a.number(id)]
		if o == nil {
			return s.absent("The " + kind)
		}
		out := []any{}
		for _, name := range slices.Sorted(maps.Keys(o.Properties)) {
			out = append(out, map[string]string{"Name": name, "Value": o.Properties[name], "Type": kind})
		}
		return http.StatusOK, out
	}
}

func (s *Server) setPropertyValue(a arguments) (int, any) {
	kind, name, value := a.text("objectType"), a.text("propertyName"), a.text("propertyValue")
	o := s.objects[kind][a.number("objectID")]
	if o == nil {
		return s.fails("WebApiException", "The "+kind+" does not exist")
	}
	if _, there := o.Properties[name]; !there {
		return s.fails("WebApiException", "The property "+name+" does not exist")
	}
	if err := s.formatted(kind, name, value); err != nil {
		return s.fails("WebApiException", err.Error())
	}
	o.Properties[name] = value
	s.writes++
	return http.StatusOK, nil
}
