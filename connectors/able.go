package connectors

// A Partial collection has the methods of abilities that it may lack: what it can do is known only when it is opened (a
// plugin in another process, a tool that is described in a file). Can says of an ability, given as a nil pointer to its
// interface such as (*Finder)(nil), whether it is there. Abilities that Can does not know are not.
type Partial interface {
	Can(ability any) bool
}

// As returns c as one with the ability T, if it has it. It is the way to ask: a type assertion believes every method.
func As[T any](c Collection) (ability T, ok bool) {
	if p, partial := c.(Partial); partial && !p.Can((*T)(nil)) {
		return ability, false
	}
	ability, ok = c.(T)
	return ability, ok
}
