// The HTML of the sample: self-contained (no script, no file from elsewhere), every value from outside encoded.
using System.Text;
using System.Text.Encodings.Web;

namespace Bookinfo;

/// <summary>Writes the pages.</summary>
public static class Page
{
    /// <summary>An open book, as SVG.</summary>
    public const string Icon =
        """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path fill="#8a3324" d="M2 6q7-3 14 1 7-4 14-1v20q-7-3-14 1-7-4-14-1z"/><path stroke="#fff" stroke-width="2" d="M16 7v20"/></svg>""";

    private const string Style = """
        :root{--ink:#23201c;--soft:#6d665c;--paper:#faf7f1;--line:#e4dccd;--accent:#8a3324}
        *{box-sizing:border-box}body{margin:0;font:16px/1.55 Georgia,"Times New Roman",serif;color:var(--ink);background:var(--paper)}
        header{display:flex;justify-content:space-between;align-items:center;gap:1rem;padding:.7rem 1.5rem;background:var(--ink);color:#fff}
        header a{color:#fff;text-decoration:none}header form{display:flex;gap:.4rem}
        input,button{font:inherit;font-size:.9rem;padding:.25rem .6rem;border-radius:.3rem;border:1px solid var(--line)}
        button{background:var(--accent);border-color:var(--accent);color:#fff;cursor:pointer}
        main{max-width:60rem;margin:0 auto;padding:1.5rem}h1{margin:.4rem 0;font-size:2.2rem}h2{font-size:1.2rem;margin:0 0 .7rem}
        .columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:1.2rem;margin-top:1.5rem}
        section{background:#fff;border:1px solid var(--line);border-radius:.6rem;padding:1.2rem}
        dl{display:grid;grid-template-columns:auto 1fr;gap:.2rem 1rem;margin:0}dt{color:var(--soft)}dd{margin:0}
        blockquote{margin:0 0 1.1rem;padding-left:.9rem;border-left:3px solid var(--line)}blockquote p{margin:0}
        small{color:var(--soft)}.rating{font-size:1.3rem;letter-spacing:.1em}.served{border-top:1px solid var(--line);padding-top:.6rem}
        .error{background:#fdecea;border:1px solid #f3b8b1;border-radius:.4rem;padding:.6rem .9rem}
        """;

    /// <summary>What is shown, and sent as <c>error</c>, where <paramref name="what"/> (<c>reviews</c>) cannot be had.</summary>
    public static string Sorry(string what) => $"Sorry, product {what} are currently unavailable for this book.";

    /// <summary>The first page: what this is, and where to go.</summary>
    public static string Index() => Whole("Bookinfo", null, """
        <h1>Bookinfo</h1>
        <p>One page, four services: <code>productpage</code> asks <code>details</code> and <code>reviews</code>, and two of the three
        versions of <code>reviews</code> ask <code>ratings</code>.</p>
        <p><a href="/productpage">To the book</a> · <a href="/api/v1/products">the same as JSON</a></p>
        """);

    /// <summary>The book.</summary>
    public static string Product(Settings settings, Product product, Reply<BookDetails> details, Reply<BookReviews> reviews, string? user)
    {
        var html = new StringBuilder(4096);
        html.Append($"<h1>{Encode(product.Title)}</h1>\n<p>{product.DescriptionHtml}</p>\n<div class=\"columns\">\n");
        html.Append("<section id=\"details\">\n<h2>Book Details</h2>\n");
        AppendDetails(html, details);
        html.Append("</section>\n<section id=\"reviews\">\n<h2>Book Reviews</h2>\n");
        AppendReviews(html, reviews);
        html.Append("</section>\n</div>\n");
        html.Append($"<p><small>Page served by: <u>{Encode(settings.PodName)}</u></small></p>");
        return Whole(product.Title, user ?? "", html.ToString());
    }

    private static void AppendDetails(StringBuilder html, Reply<BookDetails> reply)
    {
        if (reply.Value is not { } book)
        {
            AppendError(html, "details", reply.Status);
            return;
        }
        html.Append("<dl>\n");
        foreach ((string name, string value) in new[]
        {
            ("Author", book.Author), ("Year", $"{book.Year}"), ("Type", book.Type), ("Pages", $"{book.Pages}"),
            ("Publisher", book.Publisher), ("Language", book.Language), ("ISBN-10", book.Isbn10), ("ISBN-13", book.Isbn13),
        })
        {
            html.Append($"<dt>{name}</dt><dd>{Encode(value)}</dd>\n");
        }
        html.Append("</dl>\n");
    }

    private static void AppendReviews(StringBuilder html, Reply<BookReviews> reply)
    {
        if (reply.Value is not { } reviews)
        {
            AppendError(html, "reviews", reply.Status);
            return;
        }
        foreach (Review review in reviews.Reviews)
        {
            html.Append($"<blockquote>\n<p>{Encode(review.Text)}</p>\n<small>{Encode(review.Reviewer)}</small>\n");
            if (review.Rating is { Stars: int stars } rating)
                AppendStars(html, stars, rating.Color ?? "black");
            else if (review.Rating is { Error: string error })
                html.Append($"<p class=\"error\"><i>{Encode(error)}</i></p>\n");
            html.Append("</blockquote>\n");
        }
        html.Append($"<p class=\"served\"><small>Reviews served by: <u>{Encode(reviews.PodName)}</u>");
        if (reviews.ClusterName is { } cluster)
            html.Append($" on cluster <u>{Encode(cluster)}</u>");
        html.Append("</small></p>\n");
    }

    // The class names are those that scripts around Istio's sample look for.
    private static void AppendStars(StringBuilder html, int stars, string color)
    {
        stars = Math.Clamp(stars, 0, 5);
        html.Append($"<div class=\"rating\" data-stars=\"{stars}\" data-color=\"{Encode(color)}\" style=\"color:{Encode(color)}\">");
        for (int i = 0; i < 5; i++)
        {
            html.Append(i < stars
                ? "<span class=\"glyphicon glyphicon-star\">★</span>"
                : "<span class=\"glyphicon glyphicon-star-empty\">☆</span>");
        }
        html.Append("</div>\n");
    }

    private static void AppendError(StringBuilder html, string what, int status) =>
        html.Append($"<div class=\"error\">\n<b>Error fetching product {what}!</b>\n<p>{Sorry(what)}</p>\n<small>status {status}</small>\n</div>\n");

    // user: null shows neither form nor name, empty the form, anything else the name.
    private static string Whole(string title, string? user, string main)
    {
        string corner = user switch
        {
            null => "",
            "" => """
                <form action="/login" method="post"><input name="username" aria-label="User name" placeholder="any name, e.g. jason" required maxlength="64">
                <input type="hidden" name="passwd" value=""><button>Sign in</button></form>
                """,
            _ => $"""<span id="user">{Encode(user)} (<a href="/logout">sign out</a>)</span>""",
        };
        return $"""
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <title>{Encode(title)}</title>
            <link rel="icon" href="/static/favicon.svg">
            <style>
            {Style}
            </style>
            </head>
            <body>
            <header><a href="/">Bookinfo Sample</a>{corner}</header>
            <main>
            {main}
            </main>
            </body>
            </html>

            """;
    }

    private static string Encode(string text) => HtmlEncoder.Default.Encode(text);
}
