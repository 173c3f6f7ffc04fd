// Without a module Go would take its old rules for routes.
//go:debug httpmuxgo121=0

// A stand-in for Rustpad's server: its protocol, its settings, its database's table. See tests/lab/README.md.
package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	_ "github.com/mattn/go-sqlite3"
)

const saveEvery = 3 * time.Second // as in the original

type server struct {
	mutex   sync.Mutex
	pads    map[string]*pad
	store   *sql.DB
	started time.Time
}

func main() {
	port, days, uri := settings()
	s := &server{pads: map[string]*pad{}, started: time.Now()}
	if uri != "" {
		s.store = open(uri)
		go s.save()
	}
	go s.expire(time.Duration(days) * 24 * time.Hour)
	http.HandleFunc("GET /api/socket/{id}", s.socket)
	http.HandleFunc("GET /api/text/{id}", s.text)
	http.HandleFunc("GET /api/stats", s.stats)
	http.Handle("/", http.FileServer(http.Dir("dist")))
	warn("listening on 0.0.0.0:%d", port)
	stop("%v", http.ListenAndServe(fmt.Sprintf("0.0.0.0:%d", port), nil))
}

// settings reads the environment; a variable that the original does not read, beside those of every process, is an error.
func settings() (port, days int, uri string) {
	values := map[string]string{"PORT": "3030", "EXPIRY_DAYS": "1", "SQLITE_URI": "", "RUST_LOG": ""}
	for _, line := range os.Environ() {
		name, value, _ := strings.Cut(line, "=")
		if _, known := values[name]; known {
			values[name] = value
		} else if name != "PATH" && name != "HOSTNAME" && name != "HOME" {
			stop("%s is not read by Rustpad", name)
		}
	}
	port, err := strconv.Atoi(values["PORT"])
	if err != nil || port < 1 || port > 65535 {
		stop("Unable to parse PORT")
	}
	days, err = strconv.Atoi(values["EXPIRY_DAYS"])
	if err != nil || days < 0 {
		stop("Unable to parse EXPIRY_DAYS")
	}
	return port, days, values["SQLITE_URI"]
}

func open(uri string) *sql.DB {
	path, found := strings.CutPrefix(uri, "sqlite://")
	if !found {
		stop("SQLITE_URI does not begin with sqlite://")
	}
	store, err := sql.Open("sqlite3", path)
	if err == nil {
		_, err = store.Exec("CREATE TABLE IF NOT EXISTS document (id TEXT PRIMARY KEY, text TEXT NOT NULL, language TEXT)")
	}
	if err != nil {
		stop("Unable to connect to SQLITE_URI: %v", err)
	}
	store.SetMaxOpenConns(1)
	return store
}

func (s *server) load(id string) (text string, language *string) {
	if s.store != nil {
		// No row is an empty pad.
		_ = s.store.QueryRow("SELECT text, language FROM document WHERE id = ?", id).Scan(&text, &language)
	}
	return text, language
}

func (s *server) socket(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	connection, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	id := r.PathValue("id")
	s.mutex.Lock()
	found := s.pads[id]
	if found == nil {
		found = newPad(s.load(id))
		s.pads[id] = found
	}
	found.accessed = time.Now()
	s.mutex.Unlock()
	found.serve(connection)
}

func (s *server) text(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	s.mutex.Lock()
	found := s.pads[id]
	s.mutex.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if found == nil {
		text, _ := s.load(id)
		fmt.Fprint(w, text)
		return
	}
	found.mutex.Lock()
	defer found.mutex.Unlock()
	fmt.Fprint(w, string(found.text))
}

func (s *server) stats(w http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	documents, stored := len(s.pads), 0
	s.mutex.Unlock()
	if s.store != nil {
		if err := s.store.QueryRow("SELECT count(*) FROM document").Scan(&stored); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"start_time": s.started.Unix(), "num_documents": documents, "database_size": stored,
	})
}

// save stores every pad that changed.
func (s *server) save() {
	for range time.Tick(saveEvery) {
		s.mutex.Lock()
		pads := make(map[string]*pad, len(s.pads))
		for id, item := range s.pads {
			pads[id] = item
		}
		s.mutex.Unlock()
		for id, item := range pads {
			item.mutex.Lock()
			revision, text, language := len(item.operations), string(item.text), item.language
			changed := revision > item.saved
			item.mutex.Unlock()
			if !changed {
				continue
			}
			const store = "INSERT OR REPLACE INTO document (id, text, language) VALUES (?, ?, ?)"
			if _, err := s.store.Exec(store, id, text, language); err != nil {
				warn("when persisting document %s: %v", id, err)
				continue
			}
			item.saved = revision
		}
	}
}

// expire forgets pads that nobody has opened for so long; the database keeps them.
func (s *server) expire(after time.Duration) {
	for range time.Tick(time.Hour) {
		s.mutex.Lock()
		for id, item := range s.pads {
			if time.Since(item.accessed) > after && len(item.people) == 0 {
				delete(s.pads, id)
			}
		}
		s.mutex.Unlock()
	}
}

func warn(form string, values ...any) {
	fmt.Fprintf(os.Stderr, form+"\n", values...)
}

func stop(form string, values ...any) {
	warn(form, values...)
	os.Exit(101) // as a panic of the original
}
