package project

import (
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/mapping"
)

func TestFullScansAreDueWhenTheirScheduleSaysSo(t *testing.T) {
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 10, 12, 30, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, spec string
		zone       *time.Location
		want       time.Time
	}{
		{"once a day where nothing is said", "", nil, now.Add(-24 * time.Hour)},
		{"every night", "0 3 * * *", nil, time.Date(2026, 3, 10, 3, 0, 0, 0, time.UTC)},
		{"every night in the sync's zone", "0 3 * * *", brussels, time.Date(2026, 3, 10, 2, 0, 0, 0, time.UTC)},
		{"not yet today", "0 20 * * *", nil, time.Date(2026, 3, 9, 20, 0, 0, 0, time.UTC)},
		{"on Sundays", "0 4 * * 0", nil, time.Date(2026, 3, 8, 4, 0, 0, 0, time.UTC)},
		{"on the first of January", "0 0 1 1 *", nil, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"on the 29th of February", "0 0 29 2 *", nil, time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"each minute", "* * * * *", nil, now},
		{"every so often", "@every 6h", nil, now.Add(-6 * time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fullSince(&mapping.Sync{FullScan: tt.spec, Timezone: tt.zone}, now); !got.Equal(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
