// Package models has what is stored and answered.
package models

import (
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// timeLayout has one width, so that text sorts as time does.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Report is what /api/cache answers.
type Report struct {
	Answer int       `json:"answer"`
	MadeAt time.Time `json:"made_at"`
}

// Quote is a row of quotes.
type Quote struct {
	ID     int    `json:"id"`
	Words  string `json:"words"`
	Author string `json:"author"`
}

// Post is a row of posts.
type Post struct {
	ID        string `json:"id"`
	AuthorID  string `json:"author_id"`
	Title     string `json:"title"`
	Body      string `json:"body"`
	Published bool   `json:"published"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
}

// BeforeCreate gives a new post its id and its times. Ids of version 7 begin with the time: new rows lie side by side in
// the index.
func (p *Post) BeforeCreate(*gorm.DB) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	p.ID = id.String()
	p.CreatedAt = time.Now().UTC().Format(timeLayout)
	p.UpdatedAt = p.CreatedAt
	return nil
}
