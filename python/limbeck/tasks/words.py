"""The words that the tasks share: few and common, so that a small vocabulary holds them all."""

__all__ = ["COLOURS", "NAMES", "THINGS"]

# Every letter that ends a common name ends at least one.
NAMES = (
    *("Anna", "Bob", "Eric", "David", "Alice", "Rolf", "Greg", "Leah", "Levi", "Raj", "Mark"),
    *("Paul", "Adam", "John", "Leo", "Philip", "Tariq", "Peter", "Lucas", "Robert", "Lou", "Olav"),
    *("Andrew", "Max", "Mary", "Fritz", "Emma", "Jacob", "Marc", "Fred", "Claire", "Hugh", "Ravi"),
    *("Jack", "Karl", "Tom", "Ben", "Marco", "Oscar", "James", "Scott", "Rex", "Lily", "Liz"),
)
THINGS = ("apples", "books", "coins", "eggs", "keys", "nuts", "pens", "stamps")
COLOURS = ("red", "blue", "green", "white", "black", "yellow")
