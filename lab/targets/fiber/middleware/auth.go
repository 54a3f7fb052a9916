package middleware

import (
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/keyauth"
	"github.com/golang-jwt/jwt/v5"
)

// maxSubject is as much as posts.author_id holds.
const maxSubject = 64

type subjectKey struct{}

// Auth lets through who has a valid access token.
func Auth(secret []byte) fiber.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired())
	key := func(*jwt.Token) (any, error) { return secret, nil }
	return keyauth.New(keyauth.Config{
		Validator: func(c fiber.Ctx, token string) (bool, error) {
			var claims jwt.RegisteredClaims
			if _, err := parser.ParseWithClaims(token, &claims, key); err != nil {
				return false, err
			}
			sub := claims.Subject
			if sub == "" || utf8.RuneCountInString(sub) > maxSubject || strings.ContainsRune(sub, 0) {
				return false, keyauth.ErrMissingOrMalformedAPIKey
			}
			c.Locals(subjectKey{}, sub)
			return true, nil
		},
		ErrorHandler: func(c fiber.Ctx, _ error) error {
			return c.Status(fiber.StatusUnauthorized).JSON(fiber.Map{"error": "a valid bearer token is required"})
		},
	})
}

// Subject is whose token the request carries.
func Subject(c fiber.Ctx) string {
	return fiber.Locals[string](c, subjectKey{})
}
