package service

import (
	"context"
	_ "embed"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
)

//go:embed systemd/fieldsync.service
var UnitFile string

// tellSystemd says how the service stands to whoever started it and named a socket for that; nothing where nobody did.
func (s *service) tellSystemd(lines ...string) {
	name, ok := s.source.Getenv("NOTIFY_SOCKET")
	if !ok || name == "" {
		return
	}
	if name[0] == '@' {
		name = "\x00" + name[1:] // the abstract namespace
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		_, err = c.Write([]byte(strings.Join(lines, "\n")))
		_ = c.Close() // nothing is kept back
	}
	if err != nil {
		s.log.Warn("systemd cannot be told", "err", err)
	}
}

// watchdog tells systemd that the service lives, as often as it wants to hear that, until ctx ends: as long as schedules and
// state answer.
func (s *service) watchdog(ctx context.Context) {
	text, _ := s.source.Getenv("WATCHDOG_USEC")
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 {
		return
	}
	every := time.Duration(usec) * time.Microsecond / 2
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = s.loop.Status() // waits for ever where the loop hangs, and systemd then starts another
		asked, cancel := context.WithTimeout(ctx, every)
		_, err := s.state.Pauses(asked)
		cancel()
		if err != nil {
			s.log.Error("the state does not answer", "err", err, "hint", project.WayOut(err))
			continue
		}
		s.tellSystemd("WATCHDOG=1")
	}
}
