"use strict";
document.querySelectorAll("table.sortable").forEach(function (table) {
  var heads = Array.from(table.tHead.rows[0].cells);
  var body = table.tBodies[0];
  var order = new Intl.Collator("en", { numeric: true });
  function less(a, b, column, up) {
    var x = a.cells[column], y = b.cells[column];
    if (heads[column].classList.contains("n")) {
      var hasX = x.hasAttribute("data-v"), hasY = y.hasAttribute("data-v");
      if (hasX !== hasY) { return hasX ? -1 : 1; } // nothing stands last, whichever way
      if (!hasX) { return 0; }
      return (up ? 1 : -1) * (parseFloat(x.dataset.v) - parseFloat(y.dataset.v));
    }
    return (up ? 1 : -1) * order.compare(x.textContent, y.textContent);
  }
  heads.forEach(function (head, column) {
    var button = document.createElement("button");
    button.type = "button";
    while (head.firstChild) { button.appendChild(head.firstChild); }
    head.appendChild(button);
    button.addEventListener("click", function () {
      var up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(function (each) { each.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      Array.from(body.rows)
        .sort(function (a, b) { return less(a, b, column, up); })
        .forEach(function (row) { body.appendChild(row); });
    });
  });
});
