package console

import "github.com/fieldsync/fieldsync/engine/access"

// A Described is a route as the description of the API tells of it.
type Described struct {
	Method, Path, Says string
	Role               access.Role
	Query, Form        []Param
	Answer             any
}

// A Param is one parameter or field of a form.
type Param struct {
	Name, Says string
	Must       bool
}

// Describe lists the API.
func Describe() []Described {
	params := func(list []param) []Param {
		var out []Param
		for _, p := range list {
			out = append(out, Param{p.name, p.says, p.must})
		}
		return out
	}
	var list []Described
	for _, p := range pages {
		list = append(list, Described{"GET", api + p.twin, p.says, access.Look, params(p.query), nil, p.view})
	}
	for _, a := range acts {
		list = append(list, Described{"POST", api + a.path, a.says, a.role, nil, params(a.fields), Done{}})
	}
	return list
}

// PathParams are the names in braces of a pattern.
var PathParams = pathParams
