// Goroutines, maps, closures, formatting and the garbage collector.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
)

type shape interface{ area() float64 }
type square struct{ side float64 }
type circle struct{ radius float64 }

func (s square) area() float64 { return s.side * s.side }
func (c circle) area() float64 { return 3 * c.radius * c.radius }

func primes(limit int, out chan<- int) {
	for n := 2; n < limit; n++ {
		prime := true
		for d := 2; d*d <= n; d++ {
			if n%d == 0 {
				prime = false
				break
			}
		}
		if prime {
			out <- n
		}
	}
	close(out)
}

func main() {
	out := make(chan int)
	go primes(200, out)
	count, sum := 0, 0
	for n := range out {
		count, sum = count+1, sum+n
	}
	fmt.Println("primes", count, sum)

	words := map[string]int{}
	for _, word := range strings.Fields("the cat and the dog and the bird") {
		words[word]++
	}
	names := []string{}
	for word := range words {
		names = append(names, word)
	}
	sort.Strings(names)
	for _, word := range names {
		fmt.Printf("%-5s %d\n", word, words[word])
	}

	total := 0.0
	for _, s := range []shape{square{1.5}, circle{2}} {
		total += s.area()
	}
	fmt.Printf("%.3f %x %q\n", total, uint64(1)<<63, strings.Repeat("é", 3))

	defer fmt.Println("deferred")
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		fmt.Println([]int{1}[len(os.Args)+4])
	}()
}
