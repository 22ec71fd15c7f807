"""Company matters: own code, inventions, plans, systems, files about people, requests for credentials.

Knows who owns (our, internal, proprietary) beside what is owned, in English and Chinese. Does not know any
company; words of one's own go into the dictionaries of the configuration.
"""

from serve.signals.sensitivity.pattern import WIDE_MEM, Pattern
from serve.signals.sensitivity.rule import Rule, RuleSet

_OURS = (
    r"(?:\bour\b|\bmy (?:company|employer|team|firm|startup|client)(?:'s)?|\bcompany's\b|"
    r"\binternal(?:ly)?\b|"
    r"\bproprietary\b|\bin-house\b|\bconfidential\b|\bunreleased\b|\bunannounced\b|\bclosed[ -]source\b)"
)
_BETWEEN = r"[\w ,/&'\-]{0,48}?"
_CODE = (
    r"\b(?:code ?base|source code|repositor(?:y|ies)|repos?\b|github|gitlab|bitbucket|monorepo|"
    r"microservices?|modules?|"
    r"algorithms?|implementation|firmware|sdk|code\b|process controller|back-?end|service\b)"
)
_PLAN = (
    r"\b(?:pricing|go-to-market|roadmap|revenue|budget|forecast|competitive|competitors?|market(?:ing)"
    r"? (?:strategy|plan|"
    r"research|study)|strateg(?:y|ic)|acquisition|merger|m&a|layoffs?|reorgani[sz]ation|fundrais\w+|"
    r"term sheet|valuation|"
    r"board (?:deck|meeting|strategy)|profit margins?|sales pipeline|business plan|financials?|"
    r"earnings|okrs?)\b"
)
_SYSTEM = (
    r"\b(?:infrastructure|production (?:environment|systems?|database|cluster|servers?)|"
    r"disaster recovery|service mesh|"
    r"network (?:topology|diagram|segments?|configuration)|firewall rules?|vpn|kubernetes cluster|"
    r"data ?cent(?:er|re)s?|"
    r"endpoint mappings?|deployment (?:pipeline|config\w*)|monitoring (?:dashboards?|alerts?)|"
    r"runbooks?|on-call|"
    r"access (?:logs|controls?)|backup (?:systems?|schedule)|server (?:inventory|list)|ip ranges?)\b"
)
_HANDLE = (
    r"\b(?:process|analy[sz]e|review|summari[sz]e|export|merge|clean|dedupe|deduplicate|join|import|"
    r"extract|parse|classify|sort|"
    r"segment|anonymi[sz]e|identify|audit|compare|cross-check|enrich|look (?:at|through)|go through|"
    r"pull|query|check)\b"
)
_PEOPLE = (
    r"\b(?:customers?|clients?|employees?|staff|applicants?|candidates?|patients?|subscribers?|"
    r"members?|donors?|tenants?|payroll|"
    r"hr|human resources|crm|user identifiers|policyholders?|borrowers?|students?)\b"
)
_FILES = (
    r"\b(?:data|datasets?|records?|lists?|exports?|spreadsheets?|csv|database|tables?|contacts?|"
    r"telemetry|billing|feedback|"
    r"transactions?|tickets?|profiles?|files?|dump|logs?)\b"
)
_FIELDS = (
    r"\b(?:social security numbers?|ssns?|driver'?s? licen[sc]e (?:numbers?|data)|dates? of birth|"
    r"biometric|passport numbers?|"
    r"bank account (?:numbers?|details)|medical (?:records?|histor(?:y|ies))|health records?|"
    r"salar(?:y|ies)|home addresses|"
    r"credit card numbers?|personal (?:contact |identifiable )?information|personally identifiable|"
    r"phone numbers?)\b"
)
_CREDENTIAL_WORDS = (
    r"(?:\.env\b|\benv(?:ironment)? variables?\b|\b(?:client |api |oauth |shared )?secrets?\b|"
    r"\b(?:access|auth(?:entication)?|"
    r"bearer|session|refresh|jwt|service|secret|api) (?:tokens?|keys?|cookies?)\b|\b(?:signing|"
    r"private|encryption|ssh|master) "
    r"keys?\b|\bpasswords?\b|\bcredentials?\b|\bconnection strings?\b|\b[\w/\-]{0,40}\.(?:key|pem|pfx)\b)"
)
_TAKE = (
    r"\b(?:list|reveal|dump|show|print|paste|export|give|send|intercept|steal|leak|disclose|retrieve|"
    r"exfiltrate|expose|share|extract|output|enumerate|collect|gather|compile|harvest|recover|surface)\b"
)

_OWN_CODE = (
    r"\b(?:class|scripts?|functions?|librar(?:y|ies)|app(?:lication)?s?|front-?end|parser|compiler|"
    r"drivers?|kernel|queries|"
    r"schemas?|unit tests?|components?|controller|engine|platform|pull request|merge request|api|"
    r"handler|consumer|scheduler|"
    r"authentication|pipeline|software|product code|model weights)\b"
)
_OWN_PLAN = (
    r"\b(?:sales|churn|retention|suppliers?|vendors?|contracts?|investors?|headcount|hiring|"
    r"compensation|margins?|costs?|kpis?|"
    r"partnerships?|expansion|launch|positioning|swot|market share|negotiat\w+|customers?|clients?|"
    r"pipeline|deals?|growth|"
    r"profit\w*|cash flow|runway|burn rate|ipo|due diligence|rebranding|quarter\w*|audit)\b"
)
_OWN_SYSTEM = (
    r"\b(?:servers?|aws|azure|gcp|terraform|ansible|ci/cd|logs?|clusters?|staging|production|prod|"
    r"deployments?|network|"
    r"databases?|gateways?|load balancers?|kafka|redis|postgres\w*|queues?|domain controllers?|"
    r"active directory|siem|"
    r"alerts?|dashboards?|incidents?|outages?)\b"
)

RULES = RuleSet(
    (
        Rule(
            "company_code",
            Pattern(
                r"(?i)\b(?:code|firmware|scripts?|software|drivers?|controllers?) (?:for|of|from|"
                r"in|behind|running on) our\b|"
                r"\bour (?:[\w\-]+ ){0,2}(?:fab|factory|plant|assembly line|production line|test bench|robots?)\b"
            ),
        ),
        Rule(
            "people_data",
            Pattern(
                r"(?i)\b(?:psychotherapy|therapy|counsell?ing|clinical|patient|medical|case|"
                r"nursing|session) (?:notes|charts|files|"
                r"histories) (?:from|of|for|about|in) (?:our|my|the|this|a)\b|"
                rf"{_HANDLE}[^.?!\n]{{0,80}}?\b(?:customer|client|employee|patient|user|member|"
                rf"applicant|donor|student|guest)s?'? "
                r"(?:names|e-?mails|addresses|phone numbers|identifiers|birth ?dates)\b"
            ),
        ),
        Rule(
            "credential_request",
            Pattern(
                rf"(?i){_TAKE}[^?!\n]{{0,80}}?\b(?:credential|bearer token|hmac secret|api key|"
                rf"access token|password)s?\b"
                r"[^?!\n]{0,80}?\b(?:current session|this session|your (?:context|configuration|"
                r"environment|memory)|hidden|system)\b|"
                r"\bcredential-like\b"
            ),
        ),
        Rule(
            "internal_document",
            Pattern(
                r"(?i)\b(?:this|the attached|these|the following) (?:[\w\-]+ )?(?:meeting|call|"
                r"standup|interview|board|team) "
                r"(?:transcripts?|recordings?|notes|minutes|summary)\b|"
                r"内部[^。\n]{0,8}?(?:评审|记录|架构|邮件|通知|流程|方案|培训|审计|讨论)"
            ),
        ),
        Rule("company_code", Pattern(rf"(?i){_OURS}{_BETWEEN}{_CODE}")),
        Rule(
            "company_code",
            Pattern(
                r"(?i)\bprivate (?:enterprise |company )?(?:github|gitlab|bitbucket|repositor|repo\b|code)"
            ),
        ),
        Rule(
            "trade_secret",
            Pattern(
                r"(?i)\bour (?:[\w\-]+ ){0,3}(?:trade secrets?|patents?|inventions?|formula|recipe|"
                r"prototype|know-how)|"
                r"\b(?:our|this|the|my|an?|unreleased|unpublished|unfiled) (?:[\w\-]+ )"
                r"{0,2}(?:patent (?:application|draft|claims|filing|disclosure)|"
                r"invention disclosure)|\bour (?:novel|secret|custom|unpublished|unique|proprietary)\b|"
                r"\bproprietary (?:[\w\-]+ ){0,3}(?:algorithm|process|method|formula|design|"
                r"manufactur\w+|technology|data|model|test)|"
                r"\bunreleased (?:product|patent|feature|draft|design|model)|"
                r"\btrade secret (?:documentation|document|file|list|portfolio)"
            ),
        ),
        Rule("business_plan", Pattern(rf"(?i){_OURS}{_BETWEEN}{_PLAN}")),
        Rule(
            "business_plan",
            Pattern(
                r"(?i)\b(?:upcoming|next|last|this|current|previous|coming)(?: (?:fiscal|financial))"
                r"? (?:year|quarter)(?:'s)? "
                r"(?:budget|revenue|financial|forecast|sales|earnings|projections)|"
                r"\b(?:financial (?:reports?|results|statements)|budget|revenue|sales figures)"
                r"[\w ]{0,24} (?:for|from) (?:the )?(?:upcoming|"
                r"next|last|this|current|q[1-4])|\bmarketing campaigns? with roi"
            ),
        ),
        Rule(
            "company_system", Pattern(rf"(?i)(?:\bour\b|\binternal\b|\bcompany(?:'s)?\b){_BETWEEN}{_SYSTEM}")
        ),
        Rule("people_data", Pattern(rf"(?i){_HANDLE}[^.?!\n]{{0,64}}?{_PEOPLE}[^.?!\n]{{0,40}}?{_FILES}")),
        Rule(
            "people_data",
            Pattern(
                rf"(?i){_HANDLE}[^.?!\n]{{0,80}}?\b(?:with|containing|of|that (?:has|contains)|including)"
                rf"\b[^.?!\n]{{0,48}}?{_FIELDS}"
            ),
        ),
        Rule(
            "people_data", Pattern(rf"(?i){_HANDLE}[^.?!\n]{{0,40}}?\bbiometric\b[^.?!\n]{{0,24}}?\brecords?")
        ),
        Rule(
            "credential_request",
            Pattern(
                rf"(?i){_TAKE}[^.?!\n]{{0,64}}?\b(?:your?|our|all|the|its|my|internal|current)"
                rf"\b[^.?!\n]{{0,48}}?{_CREDENTIAL_WORDS}"
            ),
        ),
        Rule(
            "credential_request",
            Pattern(
                rf"(?i)\b(?:vault|secrets?)(?: path)?[^?!\n]{{0,48}}?\bprint\b|"
                rf"\bdump\b[^.?!\n]{{0,48}}?{_CREDENTIAL_WORDS}"
            ),
        ),
        Rule(
            "company_matter",
            Pattern(
                r"(?:我们公司|我们内部|我们专有|我们的专有|我司|本公司|公司(?:的)?|内部(?:的)?|专有|未公开|我们生产|我们(?:的)?)"
                r"[^。\x{FF01}\x{FF1F}\n]{0,24}?"
                r"(?:代码|函数|仓库|算法|核心|服务|专利|配方|商业机密|战略|预算|营收|预测|定价|竞争对手|收购|并购|路线图|生产环境|基础设施|数据库|集群|网络|拓扑|密钥|研究草稿)"
            ),
        ),
        Rule("company_matter", Pattern(r"(?:未公开|专利申请|商业秘密|商业机密|竞争对手分析)")),
        Rule(
            "people_data",
            Pattern(
                r"(?:分析|处理|导出|审阅|审查|整理|清洗|总结|提取|合并)[^。\x{FF01}\x{FF1F}\n]{0,32}?(?:客户|员工|用户|患者|人力资源|"
                r"求职者|会员)[^。\x{FF01}\x{FF1F}\n]{0,32}?"
                r"(?:数据|名单|记录|信息|手机号|邮箱|导出|姓名|身份证|档案)"
            ),
        ),
        Rule(
            "credential_request",
            Pattern(
                r"(?:打印|列出|导出|显示|输出|泄露|给我|告诉我|提取)[^。\x{FF01}\x{FF1F}\n]{0,40}?(?:密钥|口令|令牌|密码|凭据|凭证|私钥|连接串)"
            ),
        ),
        Rule(
            "internal_document",
            Pattern(
                r"(?i)\binternal (?:[\w\-]+ ){0,3}(?:document\w*|memo(?:randum)?s?|notes?|runbooks?|"
                r"post-?mortems?|wiki|reports?|reviews?|"
                r"minutes|polic(?:y|ies)|handbook|briefing|deck|records?|packet|announcement|"
                r"presentation|guidelines?|proposal|rfc|spec\w*)\b|"
                r"\b(?:our|the|last|today's|yesterday's|my|this)(?: [\w\-]+){0,2} (?:team|staff|board|"
                r"all-hands|standup|stand-up|strategy|sprint|"
                r"retro(?:spective)?|planning|one-on-one|1:1|leadership)(?: [\w\-]+){0,2} (?:meeting|"
                r"minutes|notes|standup|sync|retro)\b|"
                r"\b(?:minutes|notes) (?:of|from) (?:our|the|last|today's|this)"
                r" [\w \-]{0,32}(?:meeting|call|sync|standup|review)\b|"
                r"\b(?:our|this|last) (?:incident|performance|quarterly|sprint|security) (?:review|"
                r"report|retrospective)\b|"
                r"(?:团队|部门|公司|董事会|内部)[^。\x{FF01}\x{FF1F}\n]{0,12}?(?:会议|纪要|周报|复盘|备忘录|文档|手册|报告)"
            ),
        ),
        Rule(
            "company_code",
            Pattern(rf"(?i)\b(?:our|my company's|proprietary) (?:[\w\-/]+ ){{0,4}}?{_OWN_CODE}"),
        ),
        Rule(
            "business_plan", Pattern(rf"(?i)\b(?:our|my company's|internal) (?:[\w\-/]+ ){{0,4}}?{_OWN_PLAN}")
        ),
        Rule(
            "company_system",
            Pattern(rf"(?i)\b(?:our|my company's|internal) (?:[\w\-/]+ ){{0,4}}?{_OWN_SYSTEM}"),
        ),
        Rule(
            "company_system",
            Pattern(
                rf"(?i){_HANDLE}[^.?!\n]{{0,32}}?\b(?:production|prod) (?:logs?|databases?|config\w*|metrics|"
                r"data|incidents?)\b"
            ),
        ),
        Rule(
            "credential_request",
            Pattern(
                r"(?i)\b(?:what(?:'s| is| are)|tell me|where (?:is|are)|i need|get me|give me) (?:the|"
                rf"your|our|all) (?:[\w\-]+ ){{0,4}}?{_CREDENTIAL_WORDS}|"
                rf"{_TAKE} (?:authentication|auth|session|access|bearer|api|oauth) (?:tokens?|keys?)|"
                r"/etc/shadow|\.aws/credentials|\bid_rsa\b|\bkubeconfig\b|/secrets?/[\w/.\-]+"
            ),
        ),
        Rule(
            "trade_secret",
            Pattern(
                r"(?i)\bunder (?:an? )?nda\b|\b(?:unpublished|unreleased|embargoed) (?:[\w\-]+ )"
                r"{0,2}(?:results?|findings|paper|manuscript|"
                r"research|data|roadmap|specs?|specification|prototype|model|benchmark)|"
                r"\bour (?:[\w\-]+ ){0,3}(?:formulation|"
                r"lab notebook|experiment\w*|research|training data|model architecture|chip design|"
                r"blueprints?|schematics?|"
                r"manufacturing|test sequences?|intellectual property|ip portfolio)\b"
            ),
        ),
        Rule(
            "people_data",
            Pattern(rf"(?i)\b(?:our|internal) (?:[\w\-]+ ){{0,2}}?{_PEOPLE} (?:[\w\-]+ ){{0,2}}?{_FILES}"),
        ),
        Rule(
            "people_data",
            Pattern(
                r"(?i)\b(?:performance reviews|salary (?:bands?|list|data)|disciplinary records?|"
                r"exit interviews?) (?:for|of|from) "
            ),
        ),
        Rule(
            "people_data",
            Pattern(
                rf"(?i){_HANDLE}[^.?!\n]{{0,48}}?{_FILES}[^.?!\n]{{0,24}}?\b(?:of|from|about|on|for) (?:our |"
                rf"the |all )?(?:[\w\-]+ ){{0,2}}?{_PEOPLE}"
            ),
        ),
        Rule(
            "internal_document",
            Pattern(
                r"(?i)\b(?:our|the company|my company's) (?:[\w\-]+ ){0,3}(?:handbook|wiki|onboarding|"
                r"all-hands|slack|confluence|notion page|"
                r"jira|status (?:update|report)|announcement|memo|polic(?:y|ies)|design doc\w*|"
                r"documentation|postmortem|"
                r"decision record|okrs?)\b"
            ),
        ),
        Rule(
            "business_plan",
            Pattern(
                r"(?i)\b(?:analy[sz]e|review|approve|access|summari[sz]e|prepare|forecast|evaluate|"
                r"compare|generate|update|compile|audit|"
                r"reconcile|examine|assess|project|estimate|break down)\b[^.?!\n]{0,24}?\b(?:the|this|"
                r"these|my)\b[^.?!\n]{0,32}?"
                r"\b(?:financial (?:reports?|statements?|performance|projections?)|sales (?:data|"
                r"figures|performance|numbers|report)|"
                r"revenue (?:data|figures|forecasts?|projections?)|p&l|profit and loss|balance sheet|"
                r"(?:vendor|supplier|customer|client) "
                r"(?:contracts?|agreements?)|expense reports?|invoices?|board (?:deck|presentation|"
                r"minutes)|budget (?:projections?|"
                r"allocation|proposal)|quarterly (?:results?|numbers|report|earnings)|headcount|"
                r"investor (?:deck|update|presentation))\b"
            ),
        ),
        Rule(
            "company_system",
            Pattern(
                r"(?i)\b(?:the|all|these) (?:[\w\-]+ ){0,2}?(?:production|prod|staging|corporate)"
                r" (?:[\w\-]+ ){0,2}?(?:servers?|environment|"
                r"systems?|databases?|clusters?|networks?|manifests?|credentials|infrastructure|hosts?)\b"
            ),
        ),
        Rule(
            "credential_request",
            Pattern(
                r"(?i)\b(?:decrypt|recover|crack|obtain|fetch|provide|display|return|read out|tell me|"
                rf"access|view)\b[^.?!\n]{{0,32}}?"
                rf"\b(?:your?|our|all|the|stored|saved|hard-?coded)\b[^.?!\n]{{0,32}}?{_CREDENTIAL_WORDS}"
            ),
        ),
        Rule(
            "company_code",
            Pattern(r"(?i)\bunauthori[sz]ed (?:copying|use|distribution|disclosure|reproduction) of this"),
        ),
        Rule(
            "company_matter",
            Pattern(
                r"(?:我们|我司|本公司|公司)[^。\x{FF01}\x{FF1F}\n]{0,16}?(?:系统|平台|产品|项目|模型|架构|接口|配置|日志|策略|计划|合同|"
                r"供应商|财务|利润|成本|"
                r"薪资|招聘|流程|方案|设计|工艺|技术|实验|研发|客户|用户|报表|市场|销售)"
            ),
        ),
    ),
    gate_mem=WIDE_MEM,
)
