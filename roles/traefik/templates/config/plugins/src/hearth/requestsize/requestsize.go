// Package requestsize refuses requests whose body is larger than a limit, and passes on all others as they arrive.
//
// Traefik's own limit is part of its middleware `buffering`, which holds back request and answer until they are whole:
// no stream, and no upload larger than memory and disk, would pass it.
package requestsize

import (
	"context"
	"net/http"
)

// Config holds the limit in bytes.
type Config struct {
	Limit int64 `json:"limit,omitempty"`
}

// CreateConfig is how Traefik begins.
func CreateConfig() *Config {
	return &Config{}
}

// New makes the middleware of one route.
func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if request.ContentLength > config.Limit {
			http.Error(answer, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
			return
		}
		if request.ContentLength < 0 {
			// It did not say how large it is; it is cut off where it goes too far.
			request.Body = http.MaxBytesReader(answer, request.Body, config.Limit)
		}
		next.ServeHTTP(answer, request)
	}), nil
}
