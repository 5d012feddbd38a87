package service

import (
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/mapping"
)

func TestACopyThatWasMissedIsMadeOnce(t *testing.T) {
	set := mapping.Backup{Schedule: "0 2 * * *", Timezone: time.UTC}
	last := time.Date(2026, 3, 1, 2, 0, 3, 0, time.UTC)
	if next := nextCopy(set, last); !next.Equal(time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)) {
		t.Errorf("after the copy of 1 March the next is due at %s", next)
	}
}
