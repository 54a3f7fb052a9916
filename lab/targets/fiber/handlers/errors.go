package handlers

import (
	"errors"

	"github.com/go-playground/validator/v10"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/log"
	"gorm.io/gorm"
)

// Validator lets Fiber's Bind check what it read.
type Validator struct {
	validate *validator.Validate
}

// NewValidator knows the rules that the tags name.
func NewValidator() *Validator {
	validate := validator.New(validator.WithRequiredStructEnabled())
	err := validate.RegisterValidation("storable", func(field validator.FieldLevel) bool {
		return storable(field.Field().String())
	})
	if err != nil {
		panic(err)
	}
	return &Validator{validate: validate}
}

// Validate is called by Bind.
func (v *Validator) Validate(out any) error {
	return v.validate.Struct(out)
}

// Error answers whatever a handler returned.
func Error(c fiber.Ctx, err error) error {
	var (
		known   *fiber.Error
		invalid validator.ValidationErrors
	)
	switch {
	case errors.As(err, &invalid):
		problems := make(fiber.Map, len(invalid))
		for _, field := range invalid {
			problems[field.Field()] = "must be " + field.Tag()
		}
		return c.Status(fiber.StatusUnprocessableEntity).JSON(fiber.Map{"errors": problems})
	case errors.Is(err, gorm.ErrRecordNotFound):
		known = fiber.ErrNotFound
	case errors.As(err, &known):
	default:
		log.Errorw("a request failed", "method", c.Method(), "path", c.Path(), "error", err)
		known = fiber.ErrInternalServerError
	}
	return c.Status(known.Code).JSON(fiber.Map{"error": known.Message})
}
