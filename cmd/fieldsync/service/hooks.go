package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
)

// How many records one webhook may name, and how long a key may be.
const (
	mostNamed  = 1000
	longestKey = 1024
)

// hooked takes a webhook of a system: it checks who sent it, and wakes the syncs of the records that it names. Nothing else
// in it is believed; the records are read.
func (s *service) hooked(w http.ResponseWriter, r *http.Request) {
	name, collection := r.PathValue("connection"), r.PathValue("collection")
	rules := s.inForce()
	hook := webhook(rules.Project, name, collection)
	log := s.log.With("connection", name, "collection", collection, "peer", r.RemoteAddr)
	refuse := func(status int, say string, why any) {
		log.Warn("webhook refused", "status", status, "err", why)
		access.Refuse(w, r, status, say)
	}
	now := s.now()
	// Only failures count, so that nobody who guesses keeps out who knows the secret.
	guess := func(status int, say string, why any) {
		if !s.brake.Allow(r.RemoteAddr, now) {
			access.Refuse(w, r, http.StatusTooManyRequests, "too many requests were refused; try again in a minute")
			return
		}
		s.brake.Failed(r.RemoteAddr, now)
		refuse(status, say, why)
	}
	if hook == nil {
		guess(http.StatusNotFound, "there is no such webhook", "the mapping has no webhook of this connection and collection")
		return
	}
	if len(hook.Missing) > 0 {
		refuse(http.StatusServiceUnavailable, "this webhook is not set up", "not set: "+strings.Join(hook.Missing, ", "))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		status, say := http.StatusBadRequest, "the body ended early"
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			status, say = http.StatusRequestEntityTooLarge, "the body is larger than 1 MiB"
		}
		refuse(status, say, err)
		return
	}
	if err := hook.Signature.Verify(r.Header, body, now); err != nil {
		guess(http.StatusUnauthorized, access.ErrUnsigned.Error(), err)
		return
	}
	// What was taken is kept whoever hangs up meanwhile.
	ctx := context.WithoutCancel(r.Context())
	away := func(err error) {
		w.Header().Set("Retry-After", "5")
		refuse(http.StatusServiceUnavailable, "what this says cannot be kept right now; send it again", err)
	}
	taken := ""
	if stamp := hook.Signature.Timestamp; stamp != "" {
		taken = hookSlip(strings.Join([]string{name, collection, r.Header.Get(stamp), string(body)}, "\x00"))
		// A stamp may lie ahead by a window, and holds for another one after that.
		fresh, err := s.state.PinFirst(ctx, engine.Slip{Name: taken, Until: now.Add(2 * access.Window)})
		switch {
		case err != nil:
			away(err)
			return
		case !fresh:
			refuse(http.StatusConflict, "this request was taken before", "the same request was taken before")
			return
		}
	}
	said, err := decode(body)
	if err != nil {
		refuse(http.StatusBadRequest, "the body is no JSON", err)
		return
	}
	keys, err := hook.Keys(said, r.Header)
	switch {
	case err != nil:
		refuse(http.StatusUnprocessableEntity, "no record is named in the way that was agreed; see the log of fieldsync", err)
		return
	case len(keys) > mostNamed || slices.ContainsFunc(keys, func(k string) bool { return len(k) > longestKey }):
		refuse(http.StatusUnprocessableEntity, "too many records are named, or one by too long a key", len(keys))
		return
	}
	woken := 0
	for _, m := range rules.Syncs {
		for i, side := range m.Sides {
			if side.Connection.Name != name || side.Collection != collection {
				continue
			}
			woken++
			if err := s.told(ctx, m.Name, record.Side(i), keys); err != nil {
				if taken != "" { // the same may be sent again
					_, uerr := s.state.Unpin(ctx, taken)
					err = errors.Join(err, uerr)
				}
				away(err)
				return
			}
		}
	}
	log.Debug("told of changes", "records", len(keys), "syncs", woken)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]int{"records": len(keys)}) // the system went away: nobody to tell
}

// hookSlip says that a signed request was taken, by whatever node.
func hookSlip(request string) string {
	return fmt.Sprintf("webhook %x", sha256.Sum256([]byte(request)))
}

// webhook finds a webhook block; nil if there is none.
func webhook(p *project.Project, connection, collection string) *mapping.Webhook {
	c, ok := p.Connection(connection)
	if !ok {
		return nil
	}
	i := slices.IndexFunc(c.Webhooks, func(w *mapping.Webhook) bool { return w.Collection == collection })
	if i < 0 {
		return nil
	}
	return c.Webhooks[i]
}

// decode reads one JSON value and nothing behind it. Numbers keep their digits: they may be keys.
func decode(body []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the value")
	}
	return v, nil
}
