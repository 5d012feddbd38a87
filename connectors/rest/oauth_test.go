package rest_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// An issuer gives out tokens, and a model behind it takes the last one alone.
type issuer struct {
	model *model

	mu     sync.Mutex
	given  int
	refuse bool
	grants []string
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	if r.URL.Path == "/token" {
		defer i.mu.Unlock()
		i.grants = append(i.grants, r.FormValue("grant_type"))
		w.Header().Set("Content-Type", "application/json")
		if i.refuse {
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"unknown client"}`))
			return
		}
		i.given++
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600,"refresh_token":"again-%d"}`, i.given, i.given)
		return
	}
	good := r.Header.Get("Authorization") == fmt.Sprintf("Bearer token-%d", i.given)
	i.mu.Unlock()
	if !good {
		w.WriteHeader(401)
		return
	}
	r.Header.Set("X-Key", key)
	i.model.ServeHTTP(w, r)
}

func TestOAuth(t *testing.T) {
	for _, tt := range []struct {
		name, settings string
		grants         []string // of the first log-in and of the one after the token was taken away
	}{
		{"client credentials", "client_secret = \"s\"", []string{"client_credentials", "client_credentials"}},
		{"a password, then its refresh token", "grant = \"password\"\n username = \"u\"\n password = \"p\"", []string{"password", "refresh_token"}},
		{"a refresh token", "grant = \"refresh_token\"\n refresh_token = \"r\"", []string{"refresh_token", "refresh_token"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := &issuer{model: newModel()}
			id := i.model.add(sample(1))
			srv := httptest.NewServer(i)
			defer srv.Close()
			src := i.model.describes(srv.URL)
			from, to := strings.Index(src, "auth "), strings.Index(src, "login ")
			src = src[:from] + fmt.Sprintf("auth \"oauth\" {\n token_url = %q\n client_id = \"c\"\n %s\n}\n", srv.URL+"/token", tt.settings) + src[to:]
			c := collection(t, src, "items").(all)
			var wg sync.WaitGroup
			for range 8 { // one log-in for all of them
				wg.Go(func() {
					if err := c.Read(t.Context(), []string{"title"}, []string{id}, func(record.Record) error { return nil }); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			i.mu.Lock()
			i.given += 10 // the token ends in mid-run
			i.mu.Unlock()
			if _, err := c.Update(t.Context(), []string{"title"}, id, "", record.Fields{"title": record.OfText("x")}); err != nil {
				t.Errorf("a write after the token ended: %v", err)
			}
			if got := fmt.Sprint(i.grants); got != fmt.Sprint(tt.grants) {
				t.Errorf("tokens were asked for by %s, want %v", got, tt.grants)
			}
			writes := 0
			for _, r := range i.model.requests() {
				if strings.HasPrefix(r, "PATCH") {
					writes++
				}
			}
			if writes != 1 {
				t.Errorf("the write reached the tool %d times", writes)
			}
			i.mu.Lock()
			i.given, i.refuse = i.given+10, true
			i.mu.Unlock()
			err := c.Read(t.Context(), []string{"title"}, []string{id}, func(record.Record) error { return nil })
			if !errors.Is(err, connectors.ErrAuth) || !strings.Contains(err.Error(), "unknown client") {
				t.Errorf("a log-in that is refused gives %v, want ErrAuth with its reason", err)
			}
		})
	}
}
