package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	maxTitle = 200
	maxBody  = 10_000
	// Each of these characters takes up to twelve bytes where it is written as two escapes.
	maxRequest = 256 << 10
	// Of one width, so that text sorts as time does.
	timeLayout = "2006-01-02T15:04:05.000000Z"
)

// newPost is what a client sends. Pointers tell what was left out from what is empty.
type newPost struct {
	Title     *string `json:"title"`
	Body      *string `json:"body"`
	Published bool    `json:"published"`
}

// problems says for each field what is wrong with it.
func (p newPost) problems() map[string]string {
	problems := make(map[string]string)
	switch {
	case p.Title == nil || *p.Title == "":
		problems["title"] = "is required"
	case utf8.RuneCountInString(*p.Title) > maxTitle:
		problems["title"] = "has more than 200 characters"
	case hasNUL(*p.Title):
		problems["title"] = "has a NUL character"
	}
	switch {
	case p.Body == nil:
		problems["body"] = "is required"
	case utf8.RuneCountInString(*p.Body) > maxBody:
		problems["body"] = "has more than 10000 characters"
	case hasNUL(*p.Body):
		problems["body"] = "has a NUL character"
	}
	return problems
}

// hasNUL finds what JSON can carry and PostgreSQL's text cannot.
func hasNUL(text string) bool {
	return strings.IndexByte(text, 0) >= 0
}

func (a *app) createPost(w http.ResponseWriter, r *http.Request) {
	sent, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		writeError(w, http.StatusBadRequest, "the body is too long, or ended early")
		return
	}
	var wanted newPost
	if err := json.Unmarshal(sent, &wanted); err != nil {
		writeError(w, http.StatusBadRequest, "the body is not a post: "+err.Error())
		return
	}
	if problems := wanted.problems(); len(problems) > 0 {
		writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"errors": problems})
		return
	}
	// Version 7 begins with the time, so that new ids lie side by side in the index.
	id, err := uuid.NewV7()
	if err != nil {
		writeFailure(w, r, err)
		return
	}
	now := time.Now().UTC().Format(timeLayout)
	post := Post{
		ID:        id.String(),
		AuthorID:  subject(r.Context()),
		Title:     *wanted.Title,
		Body:      *wanted.Body,
		Published: wanted.Published,
		CreatedAt: now,
		UpdatedAt: now,
	}
	if err := a.store.AddPost(r.Context(), post); err != nil {
		writeFailure(w, r, err)
		return
	}
	w.Header().Set("Location", "/api/v1/posts/"+post.ID)
	writeJSON(w, http.StatusCreated, post)
}

func (a *app) readPost(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	// A path can hold bytes that no id has, and that PostgreSQL refuses to compare.
	if !utf8.ValidString(id) || hasNUL(id) {
		writeFailure(w, r, ErrNotFound)
		return
	}
	post, err := a.store.Post(r.Context(), id)
	if err != nil {
		writeFailure(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, post)
}

func (a *app) listPosts(w http.ResponseWriter, r *http.Request) {
	limit := 20
	if query := r.URL.Query(); query.Has("limit") {
		var err error
		if limit, err = strconv.Atoi(query.Get("limit")); err != nil || limit < 1 || limit > 100 {
			writeError(w, http.StatusBadRequest, "limit must be a whole number from 1 to 100")
			return
		}
	}
	posts, err := a.store.NewestPosts(r.Context(), limit)
	if err != nil {
		writeFailure(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Items []Post `json:"items"`
	}{posts})
}
