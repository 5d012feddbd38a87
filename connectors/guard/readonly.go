package guard

import "github.com/fieldsync/fieldsync/connectors"

// reading embeds the interface alone, so that nothing else of what is behind it shows through.
type reading struct{ connectors.Collection }

// ReadOnly returns c without the abilities to create, update and delete. Whether it can be described, searched
// and asked for required paths stays as it was. A preview works on nothing else: that it writes nothing is not
// a matter of care.
func ReadOnly(c connectors.Collection) connectors.Collection {
	r := reading{c}
	d, describes := c.(connectors.Describer)
	f, finds := c.(connectors.Finder)
	q, requires := c.(connectors.Requirer)
	switch {
	case describes && finds && requires:
		return struct {
			reading
			connectors.Describer
			connectors.Finder
			connectors.Requirer
		}{r, d, f, q}
	case describes && finds:
		return struct {
			reading
			connectors.Describer
			connectors.Finder
		}{r, d, f}
	case describes && requires:
		return struct {
			reading
			connectors.Describer
			connectors.Requirer
		}{r, d, q}
	case finds && requires:
		return struct {
			reading
			connectors.Finder
			connectors.Requirer
		}{r, f, q}
	case describes:
		return struct {
			reading
			connectors.Describer
		}{r, d}
	case finds:
		return struct {
			reading
			connectors.Finder
		}{r, f}
	case requires:
		return struct {
			reading
			connectors.Requirer
		}{r, q}
	}
	return r
}
