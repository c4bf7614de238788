"""What a person meets on the command line.

    app        the commands, their options and help; app_people, app_care, app_service, options
    main       runs one; where every error becomes words and an exit code
    ui         the common options, and the two ways out: one JSON object, or lines for people
    text       times, numbers and lines for people; times reads those that people write
    asking     the daemon, when it may do what this user may not
    progress   what a pass is busy with

    passes     sync, plan            render_plan, render_sync
    standing   status                render_status, render_cid
    people     approve, adopt        render_people
    steering   retry, disown, pause, resume   render_steering
    history    history               render_history
    completion completion
    listing    ls
    manifest   manifest add, rm
    check      check
    serving    run, emulator
    service    service install       service_choice, service_asking, render_service; service_rest has the others

Importing `main` imports Typer and nothing else of weight: each command imports what it needs when it runs. Rendering
(`render_*`) is pure, from the promised JSON objects to lines, so what a daemon answers is shown as what was found here.
"""
