package handlers

import (
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v3"

	"lab/fiber/middleware"
	"lab/fiber/models"
)

type newPost struct {
	Title     string  `json:"title" validate:"required,max=200,storable"`
	Body      *string `json:"body" validate:"required,max=10000,storable"` // It may be empty, but not left out.
	Published bool    `json:"published"`
}

type listQuery struct {
	Limit int `query:"limit" validate:"min=1,max=100"`
}

type postList struct {
	Items []models.Post `json:"items"`
}

// CreatePost writes one for whose token it is.
func (h *Handlers) CreatePost(c fiber.Ctx) error {
	var body newPost
	if err := c.Bind().WithAutoHandling().JSON(&body); err != nil {
		return err
	}
	post := models.Post{
		AuthorID:  middleware.Subject(c),
		Title:     body.Title,
		Body:      *body.Body,
		Published: body.Published,
	}
	if err := h.db.Write.WithContext(c.Context()).Create(&post).Error; err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(post)
}

// GetPost reads one.
func (h *Handlers) GetPost(c fiber.Ctx) error {
	id := c.Params("id")
	if !storable(id) {
		return fiber.ErrNotFound
	}
	var post models.Post
	if err := h.db.Read.WithContext(c.Context()).Take(&post, "id = ?", id).Error; err != nil {
		return err
	}
	return c.JSON(post)
}

// ListPosts reads the newest published ones.
func (h *Handlers) ListPosts(c fiber.Ctx) error {
	query := listQuery{Limit: 20}
	if err := c.Bind().WithAutoHandling().Query(&query); err != nil {
		return err
	}
	posts := make([]models.Post, 0, query.Limit)
	err := h.db.Read.WithContext(c.Context()).
		Where("published = ?", true).
		Order("created_at DESC, id DESC").
		Limit(query.Limit).
		Find(&posts).Error
	if err != nil {
		return err
	}
	return c.JSON(postList{Items: posts})
}

// storable tells whether every database takes the text: PostgreSQL refuses NUL and what is not UTF-8.
func storable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}
