package access

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// How long a log-in lasts, and how long one may take on its way through another site.
const (
	sessionLife = 10 * time.Hour
	travelLife  = 10 * time.Minute
)

// A session is what a browser brings along after a log-in. It says who that was, not what they may do: that is looked up
// each time, so that a token which is taken out of the mapping ends its sessions.
type session struct {
	ID    string    `json:"i"`
	Until time.Time `json:"u"`
	Token string    `json:"t,omitempty"` // hash
	Name  string    `json:"n,omitempty"` // of a person whom an identity provider knows
	Words []string  `json:"w,omitempty"` // what it said of them that has a role
}

// A sealer writes cookies that only it reads. Services with the same key read each other's.
type sealer struct{ aead cipher.AEAD }

// newSealer makes a sealer of a secret of any length; of "" one that forgets with the process.
func newSealer(secret string) sealer {
	key := sha256.Sum256([]byte("fieldsync session " + secret))
	if secret == "" {
		_, _ = rand.Read(key[:]) // it never fails: the program ends instead
	}
	block, err := aes.NewCipher(key[:])
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCM(block); err == nil {
			return sealer{aead}
		}
	}
	panic(err) // only a key of another length is refused
}

// seal writes v for one purpose; open refuses it for any other.
func (s sealer) seal(purpose string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, []byte(purpose))), nil
}

func (s sealer) open(purpose, text string, v any) error {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < s.aead.NonceSize() {
		return errors.New("not a sealed text")
	}
	n := s.aead.NonceSize()
	plain, err := s.aead.Open(nil, b[:n], b[n:], []byte(purpose))
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

// Names of cookies. Browsers let nobody but this very host, over TLS, set one whose name begins with __Host-.
const (
	sessionCookie = "fieldsync"
	travelCookie  = "fieldsync-login"
)

func (g *Gate) cookieName(name string) string {
	if g.Secure {
		return "__Host-" + name
	}
	return name
}

// setCookie gives a browser a sealed text; life 0 takes it away. It comes along when somebody follows a link to here, and
// with no form of another site.
func (g *Gate) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	c := &http.Cookie{Name: g.cookieName(name), Value: value, Path: "/", HttpOnly: true, Secure: g.Secure, SameSite: http.SameSiteLaxMode, MaxAge: int(life.Seconds())}
	if life == 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// readCookie opens the cookie that setCookie has set.
func (g *Gate) readCookie(r *http.Request, name string, v any) error {
	c, err := r.Cookie(g.cookieName(name))
	if err != nil {
		return err
	}
	return g.seals().open(name, c.Value, v)
}

func (g *Gate) seals() sealer {
	g.once.Do(func() { g.sealer = newSealer(g.Key) })
	return g.sealer
}

// admit begins a session.
func (g *Gate) admit(w http.ResponseWriter, s session) error {
	s.ID, s.Until = rand.Text(), g.now().Add(sessionLife)
	text, err := g.seals().seal(sessionCookie, s)
	if err != nil {
		return err
	}
	g.setCookie(w, sessionCookie, text, sessionLife)
	return nil
}

// session is the one that a request brings along and that is not over; false if there is none.
func (g *Gate) session(r *http.Request) (s session, ok bool, err error) {
	if err := g.readCookie(r, sessionCookie, &s); err != nil || !g.now().Before(s.Until) {
		return session{}, false, nil
	}
	ended, err := g.Ended.Is(r.Context(), s.ID)
	if ended || err != nil {
		return session{}, false, err
	}
	return s, true, nil
}

// Ended remembers the sessions that were ended before their time, for all services that share log-ins.
type Ended interface {
	// End remembers one for as long as it would have lasted.
	End(ctx context.Context, session string, until time.Time) error
	// Is reports whether one was ended.
	Is(ctx context.Context, session string) (bool, error)
}
