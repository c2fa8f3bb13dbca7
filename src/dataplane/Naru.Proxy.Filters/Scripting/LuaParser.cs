// Reads a script (reference manual 2.4 to 2.5). How deep things stand in each other is limited, so that no text is too much for the
// stack of whoever reads it.
using System.Text;

namespace Naru.Proxy.Filters.Scripting;

internal sealed class LuaParser
{
    // As in Lua for what stands in each other, and more for what only stands in a row.
    private const int MostLevels = 200, MostDepth = 1000;

    /// <summary>The longest script.</summary>
    public const int MostBytes = 1024 * 1024;

    private readonly LuaLexer _lexer;
    private int _level;

    private LuaParser(LuaLexer lexer) => _lexer = lexer;

    /// <summary>A whole script.</summary>
    /// <exception cref="LuaSyntaxException">It is none.</exception>
    public static FunctionNode Parse(byte[] source, string chunk)
    {
        var lexer = new LuaLexer(source, chunk);
        if (source.Length > MostBytes) throw lexer.ErrorAt(1, $"a script has {MostBytes} bytes at most");
        lexer.Next();
        List<LuaStatement> body = new LuaParser(lexer).Block();
        if (!lexer.AtEnd) throw lexer.Error("'<eof>' expected");
        return new FunctionNode(0, lexer.Line, "main chunk", [], true, body);
    }

    private LuaToken Token => _lexer.Token;

    private void Enter()
    {
        if (++_level > MostLevels) throw _lexer.Error("chunk has too many syntax levels");
    }

    private void Leave() => _level--;

    private LuaNode Checked(LuaNode node) => node.Depth <= MostDepth ? node : throw _lexer.Error("an expression is too long");

    private bool Accept(LuaToken token)
    {
        if (Token != token || _lexer.AtEnd) return false;
        _lexer.Next();
        return true;
    }

    private void Expect(LuaToken token, string word)
    {
        if (!Accept(token)) throw _lexer.Error($"'{word}' expected");
    }

    private void Match(LuaToken token, string word, string opened, int line)
    {
        if (Accept(token)) return;
        throw line == _lexer.Line ? _lexer.Error($"'{word}' expected")
            : _lexer.Error($"'{word}' expected (to close '{opened}' at line {line})");
    }

    private LuaString Name()
    {
        if (Token != LuaToken.Name) throw _lexer.Error("<name> expected");
        LuaString name = _lexer.Text;
        _lexer.Next();
        return name;
    }

    private bool EndsBlock => Token is LuaToken.End or LuaToken.Else or LuaToken.Elseif or LuaToken.Until;

    private List<LuaStatement> Block()
    {
        Enter();
        var all = new List<LuaStatement>();
        while (!EndsBlock)
        {
            bool last = Token is LuaToken.Return;
            if (Statement() is { } one) all.Add(one);
            while (Accept(LuaToken.Semicolon)) { }
            if (last && !EndsBlock) throw _lexer.Error("'<eof>' expected");
        }
        Leave();
        return all;
    }

    private LuaStatement? Statement()
    {
        int line = _lexer.Line;
        switch (Token)
        {
            case LuaToken.Semicolon:
                _lexer.Next();
                return null;
            case LuaToken.If: return If(line);
            case LuaToken.While:
                {
                    _lexer.Next();
                    LuaNode condition = Expression();
                    Expect(LuaToken.Do, "do");
                    List<LuaStatement> body = Block();
                    Match(LuaToken.End, "end", "while", line);
                    return new WhileStatement(line, condition, body);
                }
            case LuaToken.Do:
                {
                    _lexer.Next();
                    List<LuaStatement> body = Block();
                    Match(LuaToken.End, "end", "do", line);
                    return new DoStatement(line, body);
                }
            case LuaToken.For: return For(line);
            case LuaToken.Repeat:
                {
                    _lexer.Next();
                    List<LuaStatement> body = Block();
                    Match(LuaToken.Until, "until", "repeat", line);
                    return new RepeatStatement(line, body, Expression());
                }
            case LuaToken.Function: return Function(line);
            case LuaToken.Local:
                _lexer.Next();
                return Local(line);
            case LuaToken.Return:
                _lexer.Next();
                return new ReturnStatement(line, EndsBlock || Token == LuaToken.Semicolon ? [] : Expressions());
            case LuaToken.Break:
                _lexer.Next();
                return new BreakStatement(line);
            default: return Simple(line);
        }
    }

    private IfStatement If(int line)
    {
        var branches = new List<(LuaNode?, List<LuaStatement>)>();
        do
        {
            _lexer.Next();
            LuaNode condition = Expression();
            Expect(LuaToken.Then, "then");
            branches.Add((condition, Block()));
        }
        while (Token == LuaToken.Elseif);
        if (Accept(LuaToken.Else)) branches.Add((null, Block()));
        Match(LuaToken.End, "end", "if", line);
        return new IfStatement(line, branches);
    }

    private LuaStatement For(int line)
    {
        _lexer.Next();
        LuaString first = Name();
        LuaStatement made;
        if (Accept(LuaToken.Assign))
        {
            LuaNode from = Expression();
            Expect(LuaToken.Comma, ",");
            LuaNode to = Expression();
            LuaNode? step = Accept(LuaToken.Comma) ? Expression() : null;
            Expect(LuaToken.Do, "do");
            made = new CountStatement(line, first, from, to, step, Block());
        }
        else
        {
            var names = new List<LuaString> { first };
            while (Accept(LuaToken.Comma)) names.Add(Name());
            Expect(LuaToken.In, "in");
            List<LuaNode> values = Expressions();
            Expect(LuaToken.Do, "do");
            made = new EachStatement(line, names, values, Block());
        }
        Match(LuaToken.End, "end", "for", line);
        return made;
    }

    private AssignStatement Function(int line)
    {
        _lexer.Next();
        LuaString first = Name();
        LuaNode target = new NameNode(line, first);
        string name = first.ToString();
        bool isMethod = false;
        while (!isMethod && Token is LuaToken.Dot or LuaToken.Colon)
        {
            isMethod = Token == LuaToken.Colon;
            _lexer.Next();
            LuaString key = Name();
            name = $"{name}{(isMethod ? ':' : '.')}{key}";
            target = Checked(new IndexNode(line, target, new ConstantNode(line, key)));
        }
        return new AssignStatement(line, [target], [Body(line, name, isMethod)]);
    }

    private LuaStatement Local(int line)
    {
        if (Accept(LuaToken.Function))
        {
            LuaString name = Name();
            return new LocalFunctionStatement(line, name, Body(line, name.ToString(), false));
        }
        var names = new List<LuaString> { Name() };
        while (Accept(LuaToken.Comma)) names.Add(Name());
        return new LocalStatement(line, names, Accept(LuaToken.Assign) ? Expressions() : []);
    }

    private LuaStatement Simple(int line)
    {
        LuaNode first = Suffixed();
        if (Token is not (LuaToken.Assign or LuaToken.Comma))
            return first is CallNode call ? new CallStatement(line, call) : throw _lexer.Error("syntax error");
        var targets = new List<LuaNode> { Target(first) };
        while (Accept(LuaToken.Comma)) targets.Add(Target(Suffixed()));
        Expect(LuaToken.Assign, "=");
        return new AssignStatement(line, targets, Expressions());
    }

    private LuaNode Target(LuaNode node) => node is NameNode or IndexNode ? node : throw _lexer.Error("syntax error");

    private List<LuaNode> Expressions()
    {
        var all = new List<LuaNode> { Expression() };
        while (Accept(LuaToken.Comma)) all.Add(Expression());
        return all;
    }

    private FunctionNode Body(int line, string name, bool isMethod)
    {
        var parameters = new List<LuaString>();
        if (isMethod) parameters.Add(new LuaString("self"u8.ToArray()));
        bool dots = false;
        Expect(LuaToken.OpenParen, "(");
        if (Token != LuaToken.CloseParen)
        {
            do
            {
                dots = Accept(LuaToken.Dots);
                if (!dots) parameters.Add(Name());
            }
            while (!dots && Accept(LuaToken.Comma));
        }
        Expect(LuaToken.CloseParen, ")");
        List<LuaStatement> body = Block();
        int end = _lexer.Line;
        Match(LuaToken.End, "end", "function", line);
        return new FunctionNode(line, end, name, parameters, dots, body);
    }

    private static (LuaOperator Operator, int Left, int Right)? Binary(LuaToken token) => token switch
    {
        LuaToken.Or => (LuaOperator.Or, 1, 1),
        LuaToken.And => (LuaOperator.And, 2, 2),
        LuaToken.Less => (LuaOperator.Less, 3, 3),
        LuaToken.LessEqual => (LuaOperator.LessEqual, 3, 3),
        LuaToken.Greater => (LuaOperator.Greater, 3, 3),
        LuaToken.GreaterEqual => (LuaOperator.GreaterEqual, 3, 3),
        LuaToken.Equal => (LuaOperator.Equal, 3, 3),
        LuaToken.NotEqual => (LuaOperator.NotEqual, 3, 3),
        LuaToken.Concat => (LuaOperator.Concat, 5, 4),
        LuaToken.Plus => (LuaOperator.Add, 6, 6),
        LuaToken.Minus => (LuaOperator.Subtract, 6, 6),
        LuaToken.Star => (LuaOperator.Multiply, 7, 7),
        LuaToken.Slash => (LuaOperator.Divide, 7, 7),
        LuaToken.Percent => (LuaOperator.Modulo, 7, 7),
        LuaToken.Caret => (LuaOperator.Power, 10, 9),
        _ => null,
    };

    private const int UnaryPriority = 8;

    private LuaNode Expression(int above = 0)
    {
        Enter();
        int line = _lexer.Line;
        LuaOperator? unary = Token switch
        {
            LuaToken.Not => LuaOperator.Not,
            LuaToken.Minus => LuaOperator.Negate,
            LuaToken.Hash => LuaOperator.Length,
            _ => null,
        };
        LuaNode left;
        if (unary is { } one)
        {
            _lexer.Next();
            LuaNode of = Expression(UnaryPriority);
            left = one == LuaOperator.Negate && of is ConstantNode { Value.IsNumber: true } number
                ? new ConstantNode(line, LuaValue.Of(-number.Value.Num)) : Checked(new UnaryNode(line, one, of));
        }
        else
        {
            left = Primary();
        }
        while (!_lexer.AtEnd && Binary(Token) is { } two && two.Left > above)
        {
            line = _lexer.Line;
            _lexer.Next();
            LuaNode right = Expression(two.Right);
            left = two.Operator != LuaOperator.Concat ? Checked(new BinaryNode(line, two.Operator, left, right))
                : right is ConcatNode row ? new ConcatNode(line, [left, .. row.Parts]) : Checked(new ConcatNode(line, [left, right]));
        }
        Leave();
        return left;
    }

    private LuaNode Primary()
    {
        int line = _lexer.Line;
        LuaNode? constant = Token switch
        {
            LuaToken.Number => new ConstantNode(line, LuaValue.Of(_lexer.Number)),
            LuaToken.String => new ConstantNode(line, _lexer.Text),
            LuaToken.Nil => new ConstantNode(line, LuaValue.Nil),
            LuaToken.True => new ConstantNode(line, LuaValue.True),
            LuaToken.False => new ConstantNode(line, LuaValue.False),
            LuaToken.Dots => new DotsNode(line),
            _ => null,
        };
        if (constant is not null)
        {
            _lexer.Next();
            return constant;
        }
        if (Token == LuaToken.OpenBrace) return Table();
        if (Accept(LuaToken.Function)) return Body(line, "anonymous", false);
        return Suffixed();
    }

    private LuaNode Suffixed()
    {
        int line = _lexer.Line;
        LuaNode node;
        if (Token == LuaToken.Name)
        {
            node = new NameNode(line, Name());
        }
        else if (Accept(LuaToken.OpenParen))
        {
            LuaNode inner = Expression();
            Match(LuaToken.CloseParen, ")", "(", line);
            node = inner is CallNode or DotsNode ? new OneNode(line, inner) : inner;
            // A name in parentheses is no target.
            if (node is NameNode or IndexNode) node = new OneNode(line, node);
        }
        else
        {
            throw _lexer.Error("unexpected symbol");
        }
        while (true)
        {
            line = _lexer.Line;
            switch (Token)
            {
                case LuaToken.Dot:
                    _lexer.Next();
                    node = Checked(new IndexNode(line, node, new ConstantNode(line, Name())));
                    break;
                case LuaToken.OpenBracket:
                    _lexer.Next();
                    LuaNode key = Expression();
                    Expect(LuaToken.CloseBracket, "]");
                    node = Checked(new IndexNode(line, node, key));
                    break;
                case LuaToken.Colon:
                    _lexer.Next();
                    LuaString method = Name();
                    node = Checked(new CallNode(line, node, method, Arguments()));
                    break;
                case LuaToken.OpenParen or LuaToken.String or LuaToken.OpenBrace:
                    node = Checked(new CallNode(line, node, null, Arguments()));
                    break;
                default:
                    return node;
            }
        }
    }

    private List<LuaNode> Arguments()
    {
        int line = _lexer.Line;
        switch (Token)
        {
            case LuaToken.String:
                var text = new ConstantNode(line, _lexer.Text);
                _lexer.Next();
                return [text];
            case LuaToken.OpenBrace:
                return [Table()];
            case LuaToken.OpenParen:
                _lexer.Next();
                if (Accept(LuaToken.CloseParen)) return [];
                List<LuaNode> all = Expressions();
                Match(LuaToken.CloseParen, ")", "(", line);
                return all;
            default:
                throw _lexer.Error("function arguments expected");
        }
    }

    private TableNode Table()
    {
        Enter();
        int line = _lexer.Line;
        Expect(LuaToken.OpenBrace, "{");
        var fields = new List<(LuaNode?, LuaNode)>();
        while (Token != LuaToken.CloseBrace)
        {
            if (Accept(LuaToken.OpenBracket))
            {
                LuaNode key = Expression();
                Expect(LuaToken.CloseBracket, "]");
                Expect(LuaToken.Assign, "=");
                fields.Add((key, Expression()));
            }
            else
            {
                int at = _lexer.Line;
                LuaNode value = Expression();
                // A name alone is a key where a sign follows.
                if (value is NameNode name && Accept(LuaToken.Assign)) fields.Add((new ConstantNode(at, name.Name), Expression()));
                else fields.Add((null, value));
            }
            if (!Accept(LuaToken.Comma) && !Accept(LuaToken.Semicolon)) break;
        }
        Match(LuaToken.CloseBrace, "}", "{", line);
        Leave();
        return new TableNode(line, fields);
    }
}
