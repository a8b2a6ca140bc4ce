// Command sqlite keeps rows in a database and asks for them: SQLite, in C, within the program.
package main

import (
	"database/sql"
	"fmt"
	"os"
	"runtime"

	_ "github.com/mattn/go-sqlite3"
)

func main() {
	if err := work(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func work() error {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("create table t (n integer, s text)"); err != nil {
		return err
	}
	for i := 1; i <= 100; i++ {
		if _, err := db.Exec("insert into t values (?, ?)", i, fmt.Sprint("row ", i)); err != nil {
			return err
		}
	}
	var sum int
	var last, version string
	if err := db.QueryRow("select sum(n), max(s), sqlite_version() from t").Scan(&sum, &last, &version); err != nil {
		return err
	}
	fmt.Printf("%s/%s: SQLite %s, sum %d, %s\n", runtime.GOOS, runtime.GOARCH, version, sum, last)
	return nil
}
