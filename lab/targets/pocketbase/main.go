// PocketBase as it comes, with one collection: open to anyone, or with POSTS_NEED_TOKEN to whoever is signed in.
package main

import (
	"log"
	"net"
	"os"

	"github.com/pocketbase/pocketbase"
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/tools/types"
)

func main() {
	app := pocketbase.NewWithConfig(pocketbase.Config{
		HideStartBanner: true,
		DefaultDataDir:  os.Getenv("DATA_DIR"),
	})
	app.OnServe().BindFunc(func(serving *core.ServeEvent) error {
		if err := addPosts(serving.App); err != nil {
			return err
		}
		return serving.Next()
	})
	app.OnRecordCreateRequest("posts").BindFunc(func(request *core.RecordRequestEvent) error {
		if request.Auth != nil {
			request.Record.Set("author_id", request.Auth.Id)
		}
		return request.Next()
	})
	host := os.Getenv("HOST")
	if host == "" {
		host = "127.0.0.1"
	}
	app.RootCmd.SetArgs([]string{"serve", "--http", net.JoinHostPort(host, os.Getenv("PORT"))})
	if err := app.Start(); err != nil {
		log.Fatal(err)
	}
}

// addPosts makes the collection on an empty database.
func addPosts(app core.App) error {
	if _, err := app.FindCollectionByNameOrId("posts"); err == nil {
		return nil
	}
	posts := core.NewBaseCollection("posts")
	rule := types.Pointer("")
	if os.Getenv("POSTS_NEED_TOKEN") != "" {
		rule = types.Pointer(`@request.auth.id != ""`)
		posts.AddIndex("posts_published", false, "published, created_at DESC, id DESC", "")
	}
	posts.CreateRule = rule
	posts.ViewRule = rule
	posts.ListRule = rule
	posts.Fields.Add(
		&core.TextField{Name: "author_id"},
		&core.TextField{Name: "title", Required: true, Max: 200},
		&core.TextField{Name: "body", Max: 10000},
		&core.BoolField{Name: "published"},
		&core.AutodateField{Name: "created_at", OnCreate: true},
		&core.AutodateField{Name: "updated_at", OnCreate: true, OnUpdate: true},
	)
	return app.Save(posts)
}
