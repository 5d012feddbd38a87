package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/reconcile"
)

func TestMergeLines(t *testing.T) {
	tests := []struct {
		name, base, a, b, want string
		clean                  bool
	}{
		{"nothing changed", "1_2_3", "1_2_3", "1_2_3", "1_2_3", true},
		{"one changed", "1_2_3", "1_x_3", "1_2_3", "1_x_3", true},
		{"far apart", "1_2_3_4_5", "x_2_3_4_5", "1_2_3_4_y", "x_2_3_4_y", true},
		{"same change", "1_2_3", "1_x_3", "1_x_3", "1_x_3", true},
		{"same line", "1_2_3", "1_x_3", "1_y_3", "", false},
		{"neighbouring lines", "1_2_3", "x_2_3", "1_y_3", "", false},
		{"removed and changed", "1_2_3", "1_3", "1_y_3", "", false},
		{"removed twice", "1_2_3", "1_3", "1_3", "1_3", true},
		{"appended by one, changed at the top by the other", "1_2", "1_2_3", "x_2", "x_2_3", true},
		{"both appended", "1_2", "1_2_3", "1_2_4", "", false},
		{"both appended the same", "1_2", "1_2_3", "1_2_3", "1_2_3", true},
		{"inserted at both ends", "1_2", "0_1_2", "1_2_3", "0_1_2_3", true},
		{"all removed", "1_2", "", "1_2", "", true},
		{"from nothing", "", "1_2", "", "1_2", true},
		{"last line without an end", "1_2", "1_2_", "x_2", "x_2_", true},
		{"a wide edit over two small ones", "1_2_3_4_5", "x_x_x_x_x", "1_y_3_z_5", "", false},
	}
	line := strings.NewReplacer("_", "\n")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, clean := reconcile.MergeLines(line.Replace(tt.base), line.Replace(tt.a), line.Replace(tt.b))
			if got != line.Replace(tt.want) || clean != tt.clean {
				t.Errorf("got %q, clean %v", got, clean)
			}
		})
	}
}

func drawText(t *rapid.T, label string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", ""}), 0, 8).Draw(t, label), "\n")
}

func TestMergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, a, b := drawText(t, "base"), drawText(t, "a"), drawText(t, "b")
		for name, args := range map[string][3]string{
			"both made the same": {base, a, a}, "only a changed": {base, a, base}, "only b changed": {base, base, a},
		} {
			if got, clean := reconcile.MergeLines(args[0], args[1], args[2]); got != a || !clean {
				t.Fatalf("%s: %q, clean %v", name, got, clean)
			}
		}
		ab, clean := reconcile.MergeLines(base, a, b)
		if ba, same := reconcile.MergeLines(base, b, a); ba != ab || same != clean {
			t.Fatalf("%q one way, %q the other", ab, ba)
		}
	})
}

func TestACleanMergeHasBothEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Lines that occur once make it plain where each came from.
		var base []string
		for i := range rapid.IntRange(0, 12).Draw(t, "lines") {
			base = append(base, fmt.Sprint(i))
		}
		edit := func(who string) (text string, added, removed []string) {
			var out []string
			for _, l := range base {
				switch rapid.SampledFrom([]string{"keep", "keep", "keep", "insert", "remove"}).Draw(t, who+l) {
				case "insert":
					added = append(added, who+l)
					out = append(out, who+l, l)
				case "remove":
					removed = append(removed, l)
				default:
					out = append(out, l)
				}
			}
			return strings.Join(out, "\n"), added, removed
		}
		a, addedA, removedA := edit("a")
		b, addedB, removedB := edit("b")
		got, clean := reconcile.MergeLines(strings.Join(base, "\n"), a, b)
		if !clean {
			return
		}
		lines := strings.Split(got, "\n")
		for _, l := range slices.Concat(addedA, addedB) {
			if !slices.Contains(lines, l) {
				t.Fatalf("%q lacks the added line %s", got, l)
			}
		}
		for _, l := range slices.Concat(removedA, removedB) {
			if slices.Contains(lines, l) {
				t.Fatalf("%q still has the removed line %s", got, l)
			}
		}
		for _, l := range base {
			if !slices.Contains(removedA, l) && !slices.Contains(removedB, l) && !slices.Contains(lines, l) {
				t.Fatalf("%q lost the line %s that nobody touched", got, l)
			}
		}
	})
}

func TestTextsFarApartAreNotMerged(t *testing.T) {
	var base, a, b []string
	for i := range 4000 {
		base, a, b = append(base, fmt.Sprint("o", i)), append(a, fmt.Sprint("a", i)), append(b, fmt.Sprint("b", i))
	}
	text := func(l []string) string { return strings.Join(l, "\n") }
	if _, clean := reconcile.MergeLines(text(base), text(a), text(b)); clean {
		t.Error("two rewritten texts merged")
	}
	if got, clean := reconcile.MergeLines(text(base), text(a), text(base)); !clean || got != text(a) {
		t.Error("one rewritten text is not taken as it is")
	}
}
