package verify

// dice are random numbers that depend on their seed alone (SplitMix64).
type dice uint64

// throw gives the dice of one history, so that each can be lived again by itself.
func throw(seed uint64, history int) *dice {
	d := dice(seed*0x9e3779b97f4a7c15 + uint64(history)*0xd1342543de82ef95)
	d.next()
	return &d
}

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is from 0 to n-1; 0 for n = 0.
func (d *dice) below(n int) int {
	if n <= 0 {
		return 0
	}
	return int(d.next() % uint64(n))
}

// once in n.
func (d *dice) once(n int) bool { return d.below(n) == 0 }
