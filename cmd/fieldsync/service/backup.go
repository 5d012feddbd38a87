package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/schedule"
)

// A copier is a state that copies itself into a file while it is used.
type copier interface {
	Backup(ctx context.Context, file string, force bool) (size int64, err error)
}

// lookForBackup is how often it is looked whether a copy is due.
const lookForBackup = time.Second

// The names of copies tell when they were made, and sort in that order.
const (
	copyPrefix = "fieldsync-"
	copyTime   = "20060102T150405Z"
	copySuffix = ".db"
)

// backups copies the state when the mapping says so, until ctx ends. The folder tells when the last copy was made, so that
// one that fell due while nobody was there is made once.
func (s *service) backups(ctx context.Context) {
	var set mapping.Backup
	var next time.Time
	tick := time.NewTicker(lookForBackup)
	defer tick.Stop()
	for {
		switch now, asked := s.now(), s.inForce().Settings.Backup; {
		case asked == nil:
			set = mapping.Backup{}
		case *asked != set:
			set = *asked
			from := now
			if list := copies(set.Dir); len(list) > 0 {
				from = list[len(list)-1].at
			}
			next = nextCopy(set, from)
		case !now.Before(next):
			next = nextCopy(set, now)
			s.backup(ctx, set, now)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// nextCopy is when the next copy after from is due.
func nextCopy(set mapping.Backup, from time.Time) time.Time {
	times, err := schedule.Parse(set.Schedule, set.Timezone)
	if err != nil {
		return from.AddDate(100, 0, 0) // the mapping has been checked
	}
	return times.Next(from)
}

// backup makes one copy and takes the oldest away.
func (s *service) backup(ctx context.Context, set mapping.Backup, now time.Time) {
	file := filepath.Join(set.Dir, copyPrefix+now.UTC().Format(copyTime)+copySuffix)
	size, err := s.copyState(ctx, set.Dir, file)
	if err != nil {
		s.log.Error("the state was not copied", "file", file, "err", err, "hint", project.WayOut(err))
		return
	}
	s.log.Info("copied the state", "file", file, "bytes", size)
	list := copies(set.Dir)
	for _, old := range list[:max(0, len(list)-set.Keep)] {
		if err := os.Remove(old.file); err != nil {
			s.log.Warn("an old copy of the state stays", "err", err)
		}
	}
}

func (s *service) copyState(ctx context.Context, dir, file string) (int64, error) {
	c, ok := s.state.(copier)
	if !ok {
		return 0, project.Hinted(fmt.Errorf("this state is no file"), "copy the database with its own tools, and take backup out of the fieldsync block")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	return c.Backup(ctx, file, false)
}

// A stateCopy is a copy of the state that backup has made.
type stateCopy struct {
	file string
	at   time.Time
}

// copies are those in a folder, oldest first. Other files there are nobody's business here.
func copies(dir string) (list []stateCopy) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // the first copy makes the folder, or says what is wrong
	}
	for _, e := range entries {
		stamp, ok := strings.CutPrefix(e.Name(), copyPrefix)
		stamp, isCopy := strings.CutSuffix(stamp, copySuffix)
		if at, err := time.Parse(copyTime, stamp); ok && isCopy && err == nil && !e.IsDir() {
			list = append(list, stateCopy{filepath.Join(dir, e.Name()), at})
		}
	}
	return list
}
