package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// maxSubject is as much as posts.author_id holds.
const maxSubject = 64

var errSubject = errors.New("the token names nobody")

type subjectKey struct{}

// subject is whose token the request carries.
func subject(ctx context.Context) string {
	sub, _ := ctx.Value(subjectKey{}).(string)
	return sub
}

type tokens struct {
	secret []byte
	parser *jwt.Parser
}

func newTokens(secret []byte) *tokens {
	return &tokens{
		secret: secret,
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired()),
	}
}

// required lets through who has a valid access token.
func (t *tokens) required(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, http.StatusUnauthorized, "a bearer token is required")
			return
		}
		sub, err := t.subject(strings.TrimSpace(token))
		if err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			writeError(w, http.StatusUnauthorized, "the token is not valid")
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), subjectKey{}, sub)))
	})
}

func (t *tokens) subject(token string) (string, error) {
	var claims jwt.RegisteredClaims
	_, err := t.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return t.secret, nil })
	if err != nil {
		return "", err
	}
	if claims.Subject == "" || utf8.RuneCountInString(claims.Subject) > maxSubject || hasNUL(claims.Subject) {
		return "", errSubject
	}
	return claims.Subject, nil
}
