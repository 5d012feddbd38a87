package service

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// stopTime is how long requests in flight may take once a server is told to stop.
const stopTime = 3 * time.Second

// ServeHTTP serves until ctx ends, then lets requests in flight end.
func ServeHTTP(ctx context.Context, l net.Listener, secure *tls.Config, h http.Handler) error {
	srv := &http.Server{Handler: h, TLSConfig: secure, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	failed := make(chan error, 1)
	go func() {
		if secure != nil {
			failed <- srv.ServeTLS(l, "", "")
		} else {
			failed <- srv.Serve(l)
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return srv.Close()
	}
	return nil
}
