// PocketBase as it comes, with one collection that anyone may add to and read from.
package main

import (
	"log"
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
	app.RootCmd.SetArgs([]string{"serve", "--http", "127.0.0.1:" + os.Getenv("PORT")})
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
	anyone := types.Pointer("")
	posts.CreateRule = anyone
	posts.ViewRule = anyone
	posts.Fields.Add(
		&core.TextField{Name: "author_id"},
		&core.TextField{Name: "title", Required: true, Max: 200},
		&core.TextField{Name: "body", Max: 100000},
		&core.BoolField{Name: "published"},
		&core.AutodateField{Name: "created_at", OnCreate: true},
		&core.AutodateField{Name: "updated_at", OnCreate: true, OnUpdate: true},
	)
	return app.Save(posts)
}
